#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "client/user_client.hpp"

namespace scistream::client {

/// What a program says about its client; what is empty is as the command line has it.
struct ClientSettings {
  bool tls = true;
  std::string roots;                      ///< PEM; instead of `server_cert`.
  std::filesystem::path server_cert;      ///< As trust_of().
  std::string token;                      ///< Empty: as the environment and the logins say.
  std::filesystem::path state_directory;  ///< Of sessions, logins and pins.
  std::filesystem::path certificate;      ///< Shown to servers, with `key`.
  std::filesystem::path key;
};

/// `invalid_argument` where settings contradict each other; errors of files otherwise.
Result<ClientOptions> client_options(ClientSettings settings);

/// `tcp` or `udp`, of the applications; otherwise `invalid_argument`.
Status check_protocol(std::string_view protocol);

/// Puts the application keys into a request: random ones where none is given and keys may travel
/// (keys_may_travel). `invalid_argument` for one that is given and may not.
Status choose_app_keys(bool tls, const Endpoint& prod, const Endpoint& cons,
                       const std::optional<Secret>& prod_key, const std::optional<Secret>& cons_key,
                       SessionRequest& request);

}  // namespace scistream::client

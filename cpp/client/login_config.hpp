#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "base/endpoint.hpp"
#include "base/error.hpp"

namespace scistream::client {

/// What a user, or who set the machine up, says of logins in `config.toml`:
///
///     [server."gw1.example.org:5000"]
///     scope = "c42c0dac-0a52-408e-a04f-5d31bfe0aef8"
///     issuer = "https://auth.globus.org"   # which it is without this line
///
///     [provider.globus]                    # or [provider."https://login.example.org"]
///     client_id = "…"
///
///     [workflow]                           # a service that logs in by itself
///     client_id = "…"
///     client_secret_file = "/etc/workflow/secret"
///     issuer = "https://login.example.org"
struct LoginConfig {
  struct Server {
    std::string scope;
    std::string issuer;
  };
  struct Workflow {
    std::string client_id;  ///< Empty: there is none.
    std::filesystem::path client_secret_file;
    std::string issuer;
  };

  std::map<Endpoint, Server> servers;             ///< As canonical_server() spells them.
  std::map<std::string, std::string> client_ids;  ///< By issuer.
  Workflow workflow;

  /// `invalid_argument` says in which line what is wrong.
  static Result<LoginConfig> parse(std::string_view text);
  /// Empty if there is no such file.
  static Result<LoginConfig> read(const std::filesystem::path& path);
};

/// The issuer that a user means: `globus` is one, all else is its address.
std::string issuer_of(const std::string& provider);

/// $XDG_CONFIG_HOME/scistream or ~/.config/scistream; empty where there is no home.
std::filesystem::path default_config_directory();

}  // namespace scistream::client

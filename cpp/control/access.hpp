#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/secret.hpp"
#include "control/control_server.hpp"
#include "scistream/authenticator.hpp"

namespace scistream::control {

/// What an operator says about how users are known.
struct AccessSettings {
  std::string client_id;                     ///< This server's, at an authorization server,
  Secret client_secret;                      ///< with its secret,
  std::filesystem::path client_secret_file;  ///< which may be in a file.
  /// Where that server is asked of tokens (RFC 7662).
  std::string introspection_url = "https://auth.globus.org/v2/oauth2/token/introspect";
  std::vector<std::string> issuers;  ///< Of signed tokens,
  std::string audience;              ///< which are for this one; empty: `client_id`.
  std::string scope;                 ///< Of tokens; empty: as IntrospectionOptions says.
  bool plain_tokens = false;         ///< As Expected says.
  /// Of the tokens that no issuer is for; instead of an authorization server.
  std::shared_ptr<v0::Authenticator> own_authenticator;
  std::filesystem::path identity_ca;
  std::size_t most_sessions = 100;  ///< Of one user at a time.
};

/// Puts into `options` how users are known, if that is said. `invalid_argument` names the option of
/// `s2cs` that is wrong or is missing.
Status complete_access(const AccessSettings& settings, ControlServerOptions& options);

}  // namespace scistream::control

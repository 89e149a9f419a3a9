#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "control/control_server.hpp"

namespace scistream::cli {

/// What an operator says about who may use a control server, as it is given.
struct AccessSettings {
  std::string client_id;
  std::string client_secret;
  std::filesystem::path client_secret_file;
  std::string introspection_url = "https://auth.globus.org/v2/oauth2/token/introspect";
  std::vector<std::string> issuers;
  std::string audience;
  std::string scope;
  bool plain_tokens = false;
  std::filesystem::path identity_ca;
  std::string most_sessions = "100";
};

/// Adds `--client-id` and the like. `settings` and `options` outlive the parsing.
void add_access_options(CLI::App& app, AccessSettings& settings,
                        control::ControlServerOptions& options);

/// Puts into `options` what was given. `invalid_argument` names the option that is wrong or is
/// missing. Of what should not have been said on a command line, it says so on stderr.
Status complete_access(const CLI::App& app, AccessSettings& settings,
                       control::ControlServerOptions& options);

}  // namespace scistream::cli

#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/error.hpp"
#include "control/access.hpp"
#include "control/control_server.hpp"

namespace scistream::cli {

/// What an operator says about who may use a control server, as it is given.
struct AccessArguments {
  control::AccessSettings settings;
  std::string secret;            ///< Becomes part of these, and is wiped.
  std::string sessions = "100";  ///< A number.
};

/// Adds `--client-id` and the like. `arguments` and `options` outlive the parsing.
void add_access_options(CLI::App& app, AccessArguments& arguments,
                        control::ControlServerOptions& options);

/// Puts into `options` what was given. `invalid_argument` names the option that is wrong or is
/// missing. Of what should not have been said on a command line, it says so on stderr.
Status complete_access(const CLI::App& app, AccessArguments& arguments,
                       control::ControlServerOptions& options);

}  // namespace scistream::cli

#pragma once

#include <string>

#include "base/error.hpp"
#include "cli/client_settings.hpp"

namespace scistream::cli {

/// `s2uc trust`: which certificate a control server has, and that it is to be trusted from now on.
struct TrustSettings {
  std::string server;       ///< HOST:PORT; empty: show those that are pinned.
  std::string fingerprint;  ///< The one that it must have, with or without colons.
  bool yes = false;         ///< Without a question.
  bool replace = false;     ///< Also instead of another one.
  bool forget = false;
};

CLI::App* add_trust_command(CLI::App& app, TrustSettings& trust, ClientSettings& client);

/// What is shown goes to stdout, the question to the terminal.
Status trust_server(const TrustSettings& trust, ClientSettings& client);

}  // namespace scistream::cli

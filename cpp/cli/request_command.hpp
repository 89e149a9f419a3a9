#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/client_settings.hpp"
#include "client/session_run.hpp"

namespace scistream::cli {

/// `s2uc request`: the whole protocol from one command.
struct RequestSettings {
  ClientSettings* client = nullptr;
  client::SessionRequest request;
  std::string prod_app;
  std::vector<std::string> labels;
  std::filesystem::path session_file;
  std::filesystem::path req_file;
  long long rate = 0;
  CLI::Option* rate_option = nullptr;
  bool watch = false;
  bool release_on_exit = false;
};

void add_request_options(CLI::App& app, RequestSettings& settings);

/// Runs a request, or what `--req-file` says (`{"cmd": "REQ", …}` or `{"cmd": "REL", …}`).
Status request_session(RequestSettings& settings);
Status run_req_file(RequestSettings& settings);

/// How to end a session.
struct Ending {
  bool drain = false;   ///< When its last connection has ended.
  bool forget = false;  ///< It is no failure that a control server cannot be reached.
};

/// Ends a session where it lives, and its key files here. Prints `Release completed`.
Status release_session(ClientSettings& settings, const std::string& uid, const Ending& how);

/// Shows a session live until it ends or the user interrupts: a table on stdout, or with `--json`
/// one document a line on `events`.
Status watch_session(ClientSettings& settings, client::UserClient& client, const std::string& uid,
                     FILE* events);

}  // namespace scistream::cli

#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "cli/client_settings.hpp"

namespace scistream::cli {

/// `s2uc login`, `s2uc check-auth` and `s2uc logout`: who the user is to facilities.
struct LoginSettings {
  std::string scope;     ///< Empty: what the control server says, or the usual one; of logout: all.
  std::string provider;  ///< Empty: what the control server says, or globus.
  std::string client_id;
  std::vector<std::string> s2cs;  ///< Control servers that the login is for.
  std::filesystem::path identity_ca;
  std::string ip;  ///< Of check-auth: a control server's host, with or without port.
  bool device = false;
  bool no_browser = false;
  bool all = false;  ///< Of logout; said or not.
};

/// What the tutorial's facility is called at Globus Auth.
inline constexpr const char* usual_scope = "c42c0dac-0a52-408e-a04f-5d31bfe0aef8";

/// The three commands. Refers to the settings it was made with.
class LoginCommands {
 public:
  LoginCommands(CLI::App& app, LoginSettings& login, ClientSettings& client);

  /// Their names, for `normalized`.
  static const std::vector<std::string>& names();
  /// Whether one of them was given.
  [[nodiscard]] bool parsed() const;
  Status run();

 private:
  LoginSettings& login_;
  ClientSettings& client_;
  CLI::App* logging_in_;
  CLI::App* checking_;
  CLI::App* logging_out_;
};

/// Asks the user to log in, and keeps the login. What is asked goes to stdout, or with `--json` to
/// stderr.
Status log_in(const LoginSettings& settings, ClientSettings& client);

/// Shows logins, never a token. `unauthenticated` if none of those asked for is good any more.
Status check_auth(const LoginSettings& settings, ClientSettings& client);

/// Takes logins back at their providers, as far as these answer, and forgets them.
Status log_out(const LoginSettings& settings, ClientSettings& client);

}  // namespace scistream::cli

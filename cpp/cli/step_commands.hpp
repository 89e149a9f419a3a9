#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cli/client_settings.hpp"

namespace scistream::cli {

/// The commands that deal with one facility at a time, as scripts in the field use them: their
/// options and the lines they print on stdout are fixed (PROTOCOL §5), and nothing is on stderr
/// when they succeed.
class StepCommands {
 public:
  /// Adds `prod-req`, `cons-req`, `inbound-request` and `outbound-request` to `app`.
  /// `uid` is the session's, once it is known.
  StepCommands(CLI::App& app, ClientSettings& client, std::string& uid);
  StepCommands(const StepCommands&) = delete;
  StepCommands& operator=(const StepCommands&) = delete;

  /// Their names, for `normalized`.
  static const std::vector<std::string>& names();
  /// Whether one of them was given.
  [[nodiscard]] bool parsed() const;
  Status run();

 private:
  struct Command {
    CLI::App* app = nullptr;
    Role role = Role::producer;
    bool says_hello = false;
    CLI::Option* rate = nullptr;
  };
  /// The key of an encrypted session: the producer's half makes it, the consumer's finds it.
  Result<Secret> data_key(Role role);
  void add(CLI::App& app, const char* name, const char* description, Command command);

  ClientSettings& client_;
  std::vector<std::unique_ptr<Command>> commands_;
  std::string& uid_;
  std::string prod_listeners_;
  std::string remote_ip_ = "127.0.0.1";
  std::string receiver_ports_;
  int num_conn_ = 5;
  long long rate_ = 10'000;
  bool mock_ = false;
  std::string transport_ = "tcp";
  std::string protocol_ = "tcp";
  std::filesystem::path data_key_file_;
  std::filesystem::path made_key_file_;  ///< By this run, for a session that may still fail.
  std::chrono::milliseconds timeout_{190'000};
};

}  // namespace scistream::cli

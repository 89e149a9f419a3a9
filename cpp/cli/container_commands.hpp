#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "proxy/container.hpp"

namespace scistream::cli {

/// Adds what the kinds of data server that run in containers need, each also as an environment
/// variable.
void add_container_options(CLI::App& app, proxy::ContainerOptions& options);

/// The commands by which `s2ds` runs a program in a container. They are no concern of users, and
/// `--help` does not show them.
class ContainerCommands {
 public:
  explicit ContainerCommands(CLI::App& app);
  ContainerCommands(const ContainerCommands&) = delete;
  ContainerCommands& operator=(const ContainerCommands&) = delete;

  /// Whether one of them was given.
  [[nodiscard]] bool given() const;
  /// Runs it; the exit code of the program.
  int run();

 private:
  proxy::ContainerPlan plan_;
  std::vector<std::string> labels_;
  int sockets_ = 0;
  CLI::App* const beside_;
  CLI::App* const first_;
};

}  // namespace scistream::cli

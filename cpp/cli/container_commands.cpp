#include "cli/container_commands.hpp"

#include <unistd.h>

#include <charconv>

#include "cli/command_line.hpp"

namespace scistream::cli {

namespace {

constexpr double least_memory = 32;
constexpr double most_memory = 1U << 24U;
constexpr double most_cpus = 4096;

/// Empty if it is; what an engine takes, or 0.
std::string is_share_of_cores(const std::string& text) {
  constexpr double least = 0.01;
  double cores = -1;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), cores);
  const bool whole = failed == std::errc() && end == text.data() + text.size();
  if (whole && (cores == 0 || (cores >= least && cores <= most_cpus))) return {};
  return "'" + text + "' is neither 0 nor a number from 0.01 to 4096";
}

CLI::App* hidden(CLI::App& app, const char* name, const char* description) {
  return app.add_subcommand(name, description)->group("");
}

}  // namespace

void add_container_options(CLI::App& app, proxy::ContainerOptions& options) {
  app.add_option("--container-image", options.image,
                 "Image of the kinds that run in containers [scistream:VERSION]")
      ->envname("SCISTREAM_CONTAINER_IMAGE");
  app.add_option("--container-engine", options.engine,
                 "Their engine, unix:///PATH [$DOCKER_HOST, or unix:///var/run/docker.sock]")
      ->envname("SCISTREAM_CONTAINER_ENGINE");
  app.add_option("--container-memory", options.memory_mib, "MiB that each of them may use")
      ->check(within(least_memory, most_memory))
      ->envname("SCISTREAM_CONTAINER_MEMORY")
      ->capture_default_str();
  app.add_option("--container-cpus", options.cpus, "Cores that each of them may use; 0: all")
      ->check(is_share_of_cores)
      ->envname("SCISTREAM_CONTAINER_CPUS")
      ->capture_default_str();
}

ContainerCommands::ContainerCommands(CLI::App& app)
    : beside_(hidden(app, "container-run", "Stand for a program in a container")),
      first_(hidden(app, "container-init", "Be the first process of a container")) {
  beside_->add_option("--engine", plan_.options.engine)->required();
  beside_->add_option("--image", plan_.options.image)->required();
  beside_->add_option("--memory", plan_.options.memory_mib);
  beside_->add_option("--cpus", plan_.options.cpus);
  beside_->add_option("--sockets", sockets_);
  beside_->add_option("--label", labels_)->allow_extra_args(false);
  beside_->add_option("--capability", plan_.capabilities)->allow_extra_args(false);
  for (CLI::App* command : {beside_, first_}) {
    command->add_option("--folder", plan_.folder)->required();
    command->add_option("program", plan_.arguments)->required();
  }
}

bool ContainerCommands::given() const { return beside_->parsed() || first_->parsed(); }

int ContainerCommands::run() {
  if (first_->parsed()) return proxy::run_as_first_process(plan_.folder, plan_.arguments);
  for (const std::string& label : labels_) {
    const auto middle = label.find('=');
    plan_.labels[label.substr(0, middle)] = label.substr(middle + 1);
  }
  for (char** entry = environ; *entry != nullptr; ++entry) plan_.environment.emplace_back(*entry);
  return proxy::run_in_container(plan_, sockets_);
}

}  // namespace scistream::cli

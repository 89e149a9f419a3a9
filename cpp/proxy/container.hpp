#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "proxy/container_options.hpp"
#include "proxy/docker_engine.hpp"

namespace scistream::proxy {

/// How containers say whose they are.
namespace label {
inline constexpr const char* facility = "org.scistream.facility";  ///< The data server's folder.
inline constexpr const char* session = "org.scistream.session";    ///< The session's id.
inline constexpr const char* role = "org.scistream.role";
}  // namespace label

/// One container: a program of the image, with as little around it as it can do with. It has the
/// host's network and nothing else of the host but its folder.
struct ContainerPlan {
  ContainerOptions options;
  std::map<std::string, std::string> labels;
  std::filesystem::path folder;        ///< At the same path inside, where it runs; may be empty.
  std::vector<std::string> arguments;  ///< The first is the path of the program, in the image.
  std::vector<std::string> environment;
  std::vector<std::string> capabilities;  ///< That it needs (capabilities(7)), without `CAP_`.
  bool keep = false;                      ///< After its end, until somebody removes it.
};

/// The engine of these; errors as those of DockerEngine::at().
Result<DockerEngine> engine_of(const ContainerOptions& options);

/// As the engine's API wants it.
nlohmann::json describe(const ContainerPlan& plan);
/// Fit for a container of this program, and taken by no other.
std::string container_name(const ContainerPlan& plan);

/// How long a container may take to start what it is for: an engine may have much to do.
inline constexpr std::chrono::seconds container_start_limit{30};

/// What the two processes around a contained program end with, where it is not its own exit code.
namespace contained_exit {
inline constexpr int cannot_start = 125;
inline constexpr int killed = 137;  // 128 + SIGKILL
}  // namespace contained_exit
/// Says on stderr why a container cannot be started; the exit code for that.
int cannot_contain(const Error& why);

/// What a program of the image says, in a container of this facility. Blocks until it ends;
/// `timeout` if it takes longer than container_start_limit.
Result<std::string> said_in_container(const ContainerOptions& options,
                                      const std::vector<std::string>& arguments,
                                      const std::string& facility);

/// Beside the data server: runs a program in a container that has this process's descriptors from 3
/// on, writes where this one does, and gets its signals; it ends when this process does, by
/// whatever death. Its exit code; 125 if it cannot be started, after saying why on stderr.
/// Blocks until it has ended. Signals must be blocked on every thread.
int run_in_container(const ContainerPlan& plan, int descriptors);

/// Inside the container, as its first process: takes descriptors over in `folder` and runs the
/// program with them. Its exit code.
int run_as_first_process(const std::filesystem::path& folder,
                         const std::vector<std::string>& arguments);

}  // namespace scistream::proxy

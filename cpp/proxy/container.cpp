#include "proxy/container.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/secret.hpp"

namespace scistream::proxy {

namespace {

using nlohmann::json;

constexpr const char* first_process = "/usr/bin/s2ds";
constexpr const char* scratch = "rw,noexec,nosuid,nodev,size=16m,mode=1777";
constexpr std::uint64_t mebibyte = 1U << 20U;
constexpr rlim_t most_files = 65'536;
constexpr int most_processes = 256;

rlim_t files() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return std::min(limit.rlim_max, most_files);
}

}  // namespace

Result<DockerEngine> engine_of(const ContainerOptions& options) {
  return DockerEngine::at(options.engine_or_usual());
}

json describe(const ContainerPlan& plan) {
  const ContainerOptions& options = plan.options;
  const double cpus = options.cpus > 0 ? options.cpus : std::thread::hardware_concurrency();
  json host{
      {"NetworkMode", "host"},
      {"ReadonlyRootfs", true},
      {"CapDrop", {"ALL"}},
      {"CapAdd", plan.capabilities},
      {"SecurityOpt", {"no-new-privileges"}},
      {"Memory", options.memory_mib * mebibyte},
      {"NanoCpus", std::llround(cpus * 1e9)},
      {"PidsLimit", most_processes},
      {"AutoRemove", !plan.keep},
      // Also where the image would have a volume for each of them.
      {"Tmpfs", {{"/tmp", scratch}, {"/var/lib/scistream", scratch}}},
      {"LogConfig", {{"Type", "json-file"}, {"Config", {{"max-size", "1m"}, {"max-file", "1"}}}}},
      {"Ulimits", {{{"Name", "nofile"}, {"Soft", files()}, {"Hard", files()}}}},
  };
  json container{
      {"Image", options.image_or_own()},
      // The same user as this one's: the folder is nobody else's.
      {"User", std::to_string(::geteuid()) + ":" + std::to_string(::getegid())},
      {"Env", plan.environment},
      {"Labels", plan.labels},
      {"Healthcheck", {{"Test", {"NONE"}}}},
      {"StopSignal", "SIGTERM"},
  };
  if (plan.folder.empty()) {
    container["Entrypoint"] = plan.arguments;
  } else {
    const std::string folder = plan.folder.string();
    json words{first_process, "container-init", "--folder", folder, "--"};
    for (const std::string& word : plan.arguments) words.push_back(word);
    container["Entrypoint"] = words;
    container["WorkingDir"] = folder;
    host["Mounts"] = {{{"Type", "bind"}, {"Source", folder}, {"Target", folder}}};
  }
  container["Cmd"] = json::array();
  container["HostConfig"] = host;
  return container;
}

std::string container_name(const ContainerPlan& plan) {
  constexpr std::size_t most = 36;
  constexpr std::size_t random = 6;
  std::string name = "scistream-";
  const auto session = plan.labels.find(label::session);
  if (session != plan.labels.end()) {
    for (const char c : session->second.substr(0, most))
      name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '-';
    name += '-';
  }
  return name + Secret::random(random).hex();
}

int cannot_contain(const Error& why) {
  std::fprintf(stderr, "[container] %s\n", why.message.c_str());
  return contained_exit::cannot_start;
}

Result<std::string> said_in_container(const ContainerOptions& options,
                                      const std::vector<std::string>& arguments,
                                      const std::string& facility) {
  const auto engine = engine_of(options);
  if (!engine) return engine.error();
  ContainerPlan plan;
  plan.options = options;
  plan.arguments = arguments;
  plan.keep = true;
  plan.labels[label::facility] = facility;
  const auto id = engine->create(container_name(plan), describe(plan));
  if (!id) return id.error();
  boost::asio::io_context context;
  Status ran = Error{Cause::timeout, "the container of '" + arguments.front() + "' does not end"};
  engine->async_wait(
      context, *id,
      [&] {
        const Status started = engine->start(*id);
        if (started) return;
        ran = started;
        context.stop();
      },
      [&](const Result<int>& ended) {
        if (!context.stopped()) ran = ended ? Status() : Status(ended.error());
      });
  context.run_for(container_start_limit);
  auto said = ran ? engine->logs(*id) : Result<std::string>(ran.error());
  (void)engine->remove(*id);
  return said;
}

}  // namespace scistream::proxy

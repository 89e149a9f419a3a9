#include "proxy/contained.hpp"

#include <unistd.h>

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <utility>

#include "base/secret.hpp"
#include "proxy/container.hpp"
#include "proxy/haproxy.hpp"
#include "proxy/nginx.hpp"
#include "proxy/stunnel.hpp"

namespace scistream::proxy {

namespace {

using dataserver::Callback;
using Steer = std::function<std::shared_ptr<Steering>(const Site& site)>;

/// Where the image has them.
constexpr const char* haproxy_path = "/usr/sbin/haproxy";
constexpr const char* nginx_path = "/usr/sbin/nginx";
constexpr const char* nginx_module = "/usr/lib/nginx/modules/ngx_stream_module.so";
constexpr const char* stunnel_path = "/usr/bin/stunnel4";

/// What all containers of a data server have in common.
struct Surroundings {
  std::string s2ds;  ///< Where the command is that stands for them.
  ContainerOptions options;
  std::string facility;
  std::vector<std::string> capabilities;
  bool ids_are_secret = false;

  /// What a container is told to be of.
  [[nodiscard]] std::string session_label(const std::string& uid) const {
    if (!ids_are_secret) return uid;
    const auto name = hmac_sha256(Secret(std::string_view("session label")), std::array{uid});
    return to_hex(std::span(name).first(16));
  }
};

/// Steers a program in a container as it would be steered beside the data server: it has the same
/// folder, listeners and signals, by way of the process that stands for it.
class ContainedSteering final : public Steering {
 public:
  ContainedSteering(std::shared_ptr<Steering> program, std::shared_ptr<const Surroundings> around)
      : program_(std::move(program)), around_(std::move(around)) {}

  Result<net::ChildPlan> prepare(const Work& work) override {
    auto plan = program_->prepare(work);
    if (!plan) return plan.error();
    const ContainerOptions& options = around_->options;
    std::vector<std::string> arguments{around_->s2ds, "container-run"};
    const auto add = [&arguments](const char* option, std::string value) {
      arguments.insert(arguments.end(), {option, std::move(value)});
    };
    const auto add_label = [&add](const char* name, std::string_view value) {
      add("--label", std::string(name) + "=" + std::string(value));
    };
    add("--engine", options.engine_or_usual());
    add("--image", options.image_or_own());
    add("--memory", std::to_string(options.memory_mib));
    add("--cpus", std::to_string(options.cpus));
    add("--folder", work.folder.string());
    add("--sockets", std::to_string(work.sockets()));
    for (const std::string& each : around_->capabilities) add("--capability", each);
    add_label(label::facility, around_->facility);
    add_label(label::session, around_->session_label(work.session.uid));
    add_label(label::role, to_string(work.session.role));
    arguments.emplace_back("--");
    arguments.insert(arguments.end(), plan->arguments.begin(), plan->arguments.end());
    plan->arguments = std::move(arguments);
    plan->pid_variable.clear();  // there, its number is another one
    return plan;
  }

  bool take(std::string_view line) override {
    return program_->take(line) || line.starts_with("[container]");
  }
  void wait_ready(const std::shared_ptr<net::Child>& child, std::chrono::seconds limit,
                  Callback<void> done) override {
    program_->wait_ready(child, limit, std::move(done));
  }
  void retarget(const Work& work, const std::shared_ptr<net::Child>& child,
                Callback<void> done) override {
    program_->retarget(work, child, std::move(done));
  }
  void read(Callback<Reading> done) override { program_->read(std::move(done)); }
  [[nodiscard]] bool reads_afterwards() const override { return program_->reads_afterwards(); }
  void drain(const Work& work, const std::shared_ptr<net::Child>& child,
             const std::vector<int>& listeners, std::function<void()> idle) override {
    program_->drain(work, child, listeners, std::move(idle));
  }

 private:
  const std::shared_ptr<Steering> program_;
  const std::shared_ptr<const Surroundings> around_;
};

/// Ends and removes the containers that an earlier data server of this folder has left.
void clear_away(const ContainerOptions& options, const std::string& facility, const Logger& log) {
  const auto engine = engine_of(options);
  const auto left = engine ? engine->labelled(label::facility, facility)
                           : Result<std::vector<std::string>>(engine.error());
  if (!left)
    return log->warn("cannot look for containers that were left: {}", left.error().message);
  // Each takes an engine a while.
  std::vector<std::thread> removals;
  for (const std::string& id : *left) {
    log->warn("removing container {}, which an earlier data server left", id.substr(0, 12));
    removals.emplace_back([&engine, &log, &id] {
      if (const Status gone = engine->remove(id); !gone) log->warn("{}", gone.error().message);
    });
  }
  for (std::thread& each : removals) each.join();
}

Result<Program> contained(const char* kind, const DataServerPlan& plan,
                          const std::vector<std::string>& asks_version, Steer steer,
                          std::vector<std::string> capabilities = {}) {
  const ContainerOptions& options = plan.container;
  const auto engine = engine_of(options);
  if (!engine) return engine.error();
  if (const Status there = engine->has_image(options.image_or_own()); !there) {
    const Error& why = there.error();
    if (why.cause == Cause::invalid_argument)
      return Error{why.cause, "--container-image '" + options.image_or_own() + "': " + why.message};
    if (why.cause != Cause::not_found) return why;
    return Error{Cause::not_found, "there is no image '" + options.image_or_own() +
                                       "'; make it (./dev image), or name another one "
                                       "(--container-image)"};
  }
  std::error_code ignored;
  const std::string facility = std::filesystem::absolute(plan.folder, ignored).string();
  const auto said = said_in_container(options, asks_version, facility);
  if (!said) {
    const Error& why = said.error();
    if (why.message.find("no such file or directory") == std::string::npos) return why;
    return Error{Cause::not_found, "the image '" + options.image_or_own() + "' has no " +
                                       asks_version.front() +
                                       "; make one (./dev image), or name another one "
                                       "(--container-image)"};
  }
  const auto s2ds = own_program("s2ds");
  if (!s2ds) return s2ds.error();
  Program program;
  program.kind = kind;
  program.version = version_in(*said);
  if (program.version.empty()) {
    return Error{Cause::unavailable, "the image '" + options.image_or_own() + "' has no " +
                                         asks_version.front() + " that says its version: '" +
                                         said->substr(0, 80) + "'"};
  }
  const auto around = std::make_shared<const Surroundings>(Surroundings{
      s2ds->string(), options, facility, std::move(capabilities), plan.compat_stunnel});
  program.steer = [steer = std::move(steer), around](const Site& site) {
    return std::make_shared<ContainedSteering>(steer(site), around);
  };
  program.start_limit = container_start_limit;
  program.end_limit = std::chrono::seconds(6);
  program.clear_away = [around](const Logger& log) {
    proxy::clear_away(around->options, around->facility, log);
  };
  return program;
}

}  // namespace

Result<Program> contained_haproxy(const DataServerPlan& plan) {
  return contained("Haproxy", plan, {haproxy_path, "-v"},
                   [](const Site& site) { return steer_haproxy(site, haproxy_path); });
}

Result<Program> contained_nginx(const DataServerPlan& plan) {
  // As root, its workers become somebody else.
  std::vector<std::string> capabilities;
  if (::geteuid() == 0) capabilities = {"SETUID", "SETGID"};
  auto program = contained(
      "Nginx", plan, {nginx_path, "-v"},
      [idle = plan.native.relay.flow_idle,
       workers = nginx_workers(plan.container.cpus)](const Site& site) {
        return steer_nginx(site, {nginx_path, nginx_module, idle, workers});
      },
      std::move(capabilities));
  if (program) program->datagrams = true;
  return program;
}

Result<Program> contained_stunnel(const DataServerPlan& plan) {
  auto mode = stunnel_mode(plan);
  if (!mode) return mode.error();
  auto program = contained(
      "Stunnel", plan, {stunnel_path, "-version"},
      [mode = *mode](const Site& site) { return steer_stunnel(site, stunnel_path, mode); });
  if (program) protect(*program, *mode);
  return program;
}

}  // namespace scistream::proxy

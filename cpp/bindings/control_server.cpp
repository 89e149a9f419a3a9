#include "control/control_server.hpp"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/calls.hpp"
#include "bindings/errors.hpp"
#include "bindings/extensions.hpp"
#include "bindings/logs.hpp"
#include "bindings/process.hpp"
#include "bindings/values.hpp"
#include "control/access.hpp"
#include "dataserver/custom_forwarding.hpp"

namespace py = pybind11;

namespace scistream::bindings {

namespace {

using control::ControlServerOptions;
using std::chrono::milliseconds;
using namespace pybind11::literals;  // NOLINT(google-build-using-namespace): _a

/// A control server that may be started and stopped again. Owns it; any thread.
class Facility {
 public:
  explicit Facility(ControlServerOptions options) : options_(std::move(options)) {}

  void start() {
    const Leaving leaving{{}, [this] { end(milliseconds(0)); }};
    blocking<void>(calls_, [this] { return begin(); }, leaving);
  }

  void stop(milliseconds drain) {
    const auto work = [this, drain] {
      end(drain);
      return Status();
    };
    blocking<void>(calls_, work, {[this] { hurry(); }, {}});
  }

  void close() {
    close_and_wait(calls_, [this] { end(milliseconds(0)); });
  }

  void reload() {
    const auto work = [this]() -> Status {
      const std::lock_guard turn(turn_mutex_);
      if (!server_) return Error{Cause::failed_precondition, "the control server is not running"};
      return server_->reload();
    };
    blocking<void>(calls_, work);
  }

  /// Of the running server; `failed_precondition` if there is none.
  [[nodiscard]] std::shared_ptr<control::ControlServer> running() const {
    const py::gil_scoped_release released;
    const std::lock_guard lock(server_mutex_);
    return server_;
  }

 private:
  Status begin() {
    const std::lock_guard turn(turn_mutex_);
    if (server_) return Error{Cause::failed_precondition, "the control server is running already"};
    auto server = std::make_shared<control::ControlServer>(options_, python_logger());
    if (auto status = server->start(); !status) return status;
    const std::lock_guard lock(server_mutex_);
    server_ = std::move(server);
    return {};
  }

  void end(milliseconds drain) {
    const std::lock_guard turn(turn_mutex_);
    if (!server_) return;
    server_->stop(drain);
    std::shared_ptr<control::ControlServer> last;
    const std::lock_guard lock(server_mutex_);
    last.swap(server_);
  }

  void hurry() {
    const std::lock_guard lock(server_mutex_);
    if (server_) server_->hurry();
  }

  const ControlServerOptions options_;
  std::mutex turn_mutex_;  ///< Starts and stops one after another.
  /// Held, after `turn_mutex_`, for changes of the pointer only: a stop that waits can be hurried.
  mutable std::mutex server_mutex_;
  std::shared_ptr<control::ControlServer> server_;
  Calls calls_;
};

class ControlServerHandle {
 public:
  explicit ControlServerHandle(ControlServerOptions options)
      : facility_(std::make_shared<Facility>(std::move(options))) {}

  void start() {
    facility_.check();
    about_to_use_grpc();
    facility_->start();
  }
  void stop(double drain) { facility_->stop(seconds_argument("drain", drain)); }
  void close() {
    if (!facility_.left()) facility_->close();
  }
  void reload() { facility_->reload(); }
  [[nodiscard]] bool running() const { return facility_->running() != nullptr; }
  /// For repr.
  [[nodiscard]] std::string description() const {
    if (facility_.left()) return "of another process";
    const auto running = facility_->running();
    return running ? "on " + to_string(running->endpoint()) : "not running";
  }
  [[nodiscard]] std::string endpoint() const { return to_string(server()->endpoint()); }
  [[nodiscard]] std::string fingerprint() const { return server()->fingerprint(); }
  [[nodiscard]] std::string certificate() const { return server()->certificate(); }

 private:
  [[nodiscard]] std::shared_ptr<control::ControlServer> server() const {
    auto running = facility_->running();
    if (!running) raise({Cause::failed_precondition, "the control server is not running"});
    return running;
  }

  Owned<Facility> facility_;
};

std::uint16_t port_argument(int port) {
  if (port < 0 || port > 65535) {
    raise({Cause::invalid_argument, "port " + std::to_string(port) + " is not from 0 to 65535"});
  }
  return static_cast<std::uint16_t>(port);
}

std::unique_ptr<ControlServerHandle> make(
    std::string listener_ip, int port, std::string type, const std::string& port_range,
    std::string advertise, std::string wan_ip, std::string lan_ip, double timeout,
    std::uint64_t capacity, double max_session, double idle_limit, std::filesystem::path state_dir,
    bool tls, std::filesystem::path server_crt, std::filesystem::path server_key,
    bool insecure_no_auth, std::string client_id, std::filesystem::path client_secret_file,
    std::string introspection_url, std::vector<std::string> issuers, std::string audience,
    std::string scope, std::filesystem::path identity_ca, std::size_t max_sessions_per_user,
    std::filesystem::path client_ca, std::filesystem::path policy, std::filesystem::path audit,
    std::vector<std::string> allow_target, std::vector<std::string> allow_peer,
    std::filesystem::path facility_key, const py::object& data_server,
    const py::object& authenticator, std::string policy_text) {
  ControlServerOptions options;
  options.data_server_place = control::DataServerPlace::inside;
  options.listener_ip = std::move(listener_ip);
  options.port = port_argument(port);
  options.type = std::move(type);
  options.port_range = value_or_raise(parse_port_range(port_range));
  options.advertise = std::move(advertise);
  options.wan_ip = std::move(wan_ip);
  options.lan_ip = std::move(lan_ip);
  options.timeout = seconds_argument("timeout", timeout);
  options.capacity_mbps = capacity;
  options.max_session = seconds_argument("max_session", max_session);
  options.idle_limit = seconds_argument("idle_limit", idle_limit);
  options.state_directory = std::move(state_dir);
  options.tls = tls;
  options.server_crt = std::move(server_crt);
  options.server_key = std::move(server_key);
  options.insecure_no_auth = insecure_no_auth;
  options.client_ca = std::move(client_ca);
  options.policy = std::move(policy);
  options.policy_text = std::move(policy_text);
  options.audit = std::move(audit);
  options.allow_target = std::move(allow_target);
  options.allow_peer = std::move(allow_peer);
  options.facility_key = std::move(facility_key);
  if (auto own = data_server_of(data_server)) {
    options.own_data_server = [own = std::move(own)](const Logger& log) {
      return dataserver::make_custom_data_server(own, log);
    };
  }
  control::AccessSettings access;
  access.client_id = std::move(client_id);
  access.client_secret_file = std::move(client_secret_file);
  access.introspection_url = std::move(introspection_url);
  access.issuers = std::move(issuers);
  access.audience = std::move(audience);
  access.scope = std::move(scope);
  access.identity_ca = std::move(identity_ca);
  access.most_sessions = max_sessions_per_user;
  access.own_authenticator = authenticator_of(authenticator);
  value_or_raise<void>(control::complete_access(access, options));
  return std::make_unique<ControlServerHandle>(std::move(options));
}

/// What the Python signature must say too.
py::dict defaults() {
  const ControlServerOptions options;
  const control::AccessSettings access;
  return py::dict(
      "listener_ip"_a = options.listener_ip, "port"_a = options.port, "type"_a = options.type,
      "port_range"_a = to_string(options.port_range), "advertise"_a = options.advertise,
      "wan_ip"_a = options.wan_ip, "lan_ip"_a = options.lan_ip,
      "timeout"_a = seconds_of(options.timeout), "capacity"_a = options.capacity_mbps,
      "max_session"_a = seconds_of(options.max_session),
      "idle_limit"_a = seconds_of(options.idle_limit),
      "insecure_no_auth"_a = options.insecure_no_auth, "tls"_a = options.tls,
      "client_id"_a = access.client_id, "introspection_url"_a = access.introspection_url,
      "issuers"_a = py::tuple(), "audience"_a = access.audience, "scope"_a = access.scope,
      "max_sessions_per_user"_a = access.most_sessions, "allow_target"_a = py::tuple(),
      "allow_peer"_a = py::tuple());
}

}  // namespace

void bind_control_server(py::module_& module) {
  module.def("control_server_defaults", &defaults);
  py::class_<ControlServerHandle>(module, "ControlServer",
                                  py::release_gil_before_calling_cpp_dtor())
      .def(py::init(&make), py::kw_only(), "listener_ip"_a, "port"_a, "type"_a, "port_range"_a,
           "advertise"_a, "wan_ip"_a, "lan_ip"_a, "timeout"_a, "capacity"_a, "max_session"_a,
           "idle_limit"_a, "state_dir"_a, "tls"_a, "server_crt"_a, "server_key"_a,
           "insecure_no_auth"_a, "client_id"_a, "client_secret_file"_a, "introspection_url"_a,
           "issuers"_a, "audience"_a, "scope"_a, "identity_ca"_a, "max_sessions_per_user"_a,
           "client_ca"_a, "policy"_a, "audit"_a, "allow_target"_a, "allow_peer"_a, "facility_key"_a,
           "data_server"_a, "authenticator"_a, "policy_text"_a)
      .def("start", &ControlServerHandle::start)
      .def("stop", &ControlServerHandle::stop, "drain"_a)
      .def("close", &ControlServerHandle::close)
      .def("reload", &ControlServerHandle::reload)
      .def_property_readonly("running", &ControlServerHandle::running)
      .def_property_readonly("description", &ControlServerHandle::description)
      .def_property_readonly("endpoint", &ControlServerHandle::endpoint)
      .def_property_readonly("fingerprint", &ControlServerHandle::fingerprint)
      .def_property_readonly("certificate", &ControlServerHandle::certificate);
}

}  // namespace scistream::bindings

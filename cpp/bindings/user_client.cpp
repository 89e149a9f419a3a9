#include "client/user_client.hpp"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/file.hpp"
#include "bindings/bindings.hpp"
#include "bindings/client_options.hpp"
#include "bindings/errors.hpp"
#include "bindings/process.hpp"
#include "bindings/session_calls.hpp"
#include "bindings/session_handle.hpp"
#include "bindings/values.hpp"

namespace py = pybind11;

namespace scistream::bindings {

namespace {

using client::SessionRequest;

/// None is no key of one's own.
std::optional<Secret> own_key(std::string_view what, const py::object& key) {
  if (key.is_none()) return {};
  return key_argument(what, key);
}

class UserClientHandle {
 public:
  explicit UserClientHandle(client::ClientOptions options)
      : client_(std::make_shared<Client>(std::move(options))) {}

  [[nodiscard]] std::unique_ptr<SessionHandle> request(
      const std::string& prod, const std::string& cons, const std::string& uid, int num_conn,
      std::optional<long long> rate, const std::vector<std::string>& prod_app,
      std::map<std::string, std::string> labels, const std::string& transport,
      const std::string& protocol, double lifetime, double timeout, const py::object& prod_key,
      const py::object& cons_key, bool proxy_protocol, bool wait) const {
    const Endpoint producer = endpoint_argument("prod", prod);
    const Endpoint consumer = endpoint_argument("cons", cons);
    SessionRequest request;
    request.uid = uid.empty() ? random_uid() : uid;
    value_or_raise(check_uid(request.uid));
    request.num_conn = num_conn;
    request.rate = {rate.value_or(0), rate.has_value()};
    request.prod_app = endpoint_arguments("prod_app", prod_app);
    request.labels = std::move(labels);
    request.transport = transport;
    value_or_raise(client::check_protocol(protocol));
    request.protocol = protocol;
    request.proxy_protocol = proxy_protocol;
    request.lifetime = seconds_argument("lifetime", lifetime);
    request.timeout = seconds_argument("timeout", timeout);
    value_or_raise(client::choose_app_keys(client_->tls(), producer, consumer,
                                           own_key("prod_key", prod_key),
                                           own_key("cons_key", cons_key), request));
    auto session = std::make_unique<SessionHandle>(client_, producer, consumer, std::move(request));
    if (wait) session->wait_or_abandon();
    return session;
  }

  /// What can be asked of a session; no `servers` as there.
  [[nodiscard]] SessionCalls session(const std::string& uid,
                                     const std::vector<std::string>& servers) const {
    return {*client_, uid, endpoint_arguments("servers", servers)};
  }

  [[nodiscard]] py::tuple sessions() const {
    return to_python(interruptible<client::SessionList>(*client_, sessions_work()));
  }
  [[nodiscard]] PendingCall begin_sessions() const {
    return begin<client::SessionList>(
        client_->calls(), sessions_work(),
        [](const client::SessionList& list) -> py::object { return to_python(list); });
  }

  [[nodiscard]] py::object info(const std::string& server) const {
    return to_python(interruptible<control::ServerInfo>(*client_, info_work(server)));
  }
  [[nodiscard]] PendingCall begin_info(const std::string& server) const {
    return begin<control::ServerInfo>(
        client_->calls(), info_work(server),
        [](const control::ServerInfo& info) { return to_python(info); });
  }

  void close() {
    if (!client_.left()) client_->close();
  }

 private:
  [[nodiscard]] std::function<Result<client::SessionList>(client::Interrupt&)> sessions_work()
      const {
    return [shared = &*client_](client::Interrupt& interrupt) {
      return (**shared).sessions(&interrupt);
    };
  }
  [[nodiscard]] std::function<Result<control::ServerInfo>(client::Interrupt&)> info_work(
      const std::string& server) const {
    return [shared = &*client_, at = endpoint_argument("server", server)](
               client::Interrupt& interrupt) { return (**shared).info(at, &interrupt); };
  }

  Owned<Client> client_;
};

}  // namespace

void bind_user_client(py::module_& module) {
  using Servers = std::vector<std::string>;
  module.def("default_state_directory", &default_state_directory);
  module.def(
      "parse_endpoint",
      [](const std::string& text) {
        const Endpoint endpoint = endpoint_argument("endpoint", text);
        return py::make_tuple(endpoint.host, endpoint.port);
      },
      py::arg("text"));
  py::class_<UserClientHandle>(module, "UserClient", py::release_gil_before_calling_cpp_dtor())
      .def(py::init([](bool tls, std::string roots, const std::filesystem::path& server_cert,
                       std::string token, std::filesystem::path state_dir,
                       std::filesystem::path client_cert, std::filesystem::path client_key) {
             about_to_use_grpc();
             return std::make_unique<UserClientHandle>(client_options(
                 tls, std::move(roots), server_cert, std::move(token), std::move(state_dir),
                 std::move(client_cert), std::move(client_key)));
           }),
           py::kw_only(), py::arg("tls"), py::arg("roots"), py::arg("server_cert"),
           py::arg("token"), py::arg("state_dir"), py::arg("client_cert"), py::arg("client_key"))
      .def("request", &UserClientHandle::request, py::arg("prod"), py::arg("cons"), py::kw_only(),
           py::arg("uid"), py::arg("num_conn"), py::arg("rate"), py::arg("prod_app"),
           py::arg("labels"), py::arg("transport"), py::arg("protocol"), py::arg("lifetime"),
           py::arg("timeout"), py::arg("prod_key"), py::arg("cons_key"), py::arg("proxy_protocol"),
           py::arg("wait"))
      .def(
          "release",
          [](const UserClientHandle& client, const std::string& uid, const Servers& servers,
             bool drain) { client.session(uid, servers).release(drain); },
          py::arg("uid"), py::arg("servers"), py::arg("drain"))
      .def(
          "set_rate",
          [](const UserClientHandle& client, const std::string& uid, long long rate,
             const Servers& servers) { return client.session(uid, servers).set_rate(rate); },
          py::arg("uid"), py::arg("rate"), py::arg("servers"))
      .def(
          "status",
          [](const UserClientHandle& client, const std::string& uid, const Servers& servers,
             bool connections) { return client.session(uid, servers).status(connections); },
          py::arg("uid"), py::arg("servers"), py::arg("connections"))
      .def("sessions", &UserClientHandle::sessions)
      .def("info", &UserClientHandle::info, py::arg("server"))
      .def(
          "watch",
          [](const UserClientHandle& client, const std::string& uid, double period,
             const Servers& servers) { return client.session(uid, servers).watch(period); },
          py::arg("uid"), py::arg("period"), py::arg("servers"))
      .def(
          "begin_release",
          [](const UserClientHandle& client, const std::string& uid, const Servers& servers,
             bool drain) { return client.session(uid, servers).begin_release(drain); },
          py::arg("uid"), py::arg("servers"), py::arg("drain"))
      .def(
          "begin_set_rate",
          [](const UserClientHandle& client, const std::string& uid, long long rate,
             const Servers& servers) { return client.session(uid, servers).begin_set_rate(rate); },
          py::arg("uid"), py::arg("rate"), py::arg("servers"))
      .def(
          "begin_status",
          [](const UserClientHandle& client, const std::string& uid, const Servers& servers,
             bool connections) { return client.session(uid, servers).begin_status(connections); },
          py::arg("uid"), py::arg("servers"), py::arg("connections"))
      .def("begin_sessions", &UserClientHandle::begin_sessions)
      .def("begin_info", &UserClientHandle::begin_info, py::arg("server"))
      .def("close", &UserClientHandle::close);
}

}  // namespace scistream::bindings

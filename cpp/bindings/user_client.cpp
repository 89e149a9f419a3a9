#include "client/user_client.hpp"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/file.hpp"
#include "bindings/bindings.hpp"
#include "bindings/calls.hpp"
#include "bindings/client_options.hpp"
#include "bindings/errors.hpp"
#include "bindings/pending.hpp"
#include "bindings/process.hpp"
#include "bindings/values.hpp"
#include "bindings/watch.hpp"

namespace py = pybind11;

namespace scistream::bindings {

namespace {

using client::SessionRequest;
using client::SessionResult;
using PendingCall = std::unique_ptr<Pending>;
using std::chrono::milliseconds;

/// The C++ client, until closed, and what uses it. Owns it; any thread.
class Client {
 public:
  explicit Client(client::ClientOptions options)
      : tls_(options.tls), client_(std::make_unique<client::UserClient>(std::move(options))) {}

  void close() {
    close_and_wait(calls_, [this] { client_.reset(); });
  }

  [[nodiscard]] bool tls() const { return tls_; }
  [[nodiscard]] Calls& calls() { return calls_; }
  /// Within calls only.
  [[nodiscard]] client::UserClient& operator*() const { return *client_; }

 private:
  const bool tls_;
  std::unique_ptr<client::UserClient> client_;
  Calls calls_;
};

/// Servers given by name, or where the client remembers the session to be. Within calls only.
Result<std::vector<Endpoint>> places(const Client& client, const std::string& uid,
                                     const std::vector<Endpoint>& given) {
  if (!given.empty()) return given;
  return (*client).servers_of(uid);
}

Status release_at(Client& client, const std::string& uid, const std::vector<Endpoint>& given) {
  const auto servers = places(client, uid, given);
  if (!servers) return servers.error();
  return (*client).release(uid, *servers);
}

/// None is no key of one's own.
std::optional<Secret> own_key(std::string_view what, const py::object& key) {
  if (key.is_none()) return {};
  return key_argument(what, key);
}

/// Blocking work that Ctrl-C, or closing the client, cuts short. `work` takes the Interrupt.
template <class T, class Work>
T interruptible(Client& client, Work work, const std::string& uid = {}) {
  auto interrupt = std::make_shared<client::Interrupt>();
  return blocking<T>(
      client.calls(), [interrupt, work = std::move(work)] { return work(*interrupt); },
      {[interrupt] { interrupt->trigger(); }, {}}, uid);
}

py::tuple to_tuple(const std::vector<session::SessionView>& views) {
  py::tuple list(views.size());
  for (std::size_t i = 0; i < views.size(); ++i) list[i] = to_python(views[i]);
  return list;
}

using Views = std::vector<session::SessionView>;

/// Of a session: the rpcs that show it.
auto status_work(Client& client, const std::string& uid, bool connections,
                 std::vector<Endpoint> given) {
  const auto detail = connections ? session::Detail::connections : session::Detail::session;
  return [shared = &client, uid, detail,
          given = std::move(given)](client::Interrupt& interrupt) -> Result<Views> {
    const auto servers = places(*shared, uid, given);
    if (!servers) return servers.error();
    return (**shared).status(uid, *servers, detail, nullptr, &interrupt);
  };
}

py::tuple status_at(Client& client, const std::string& uid, bool connections,
                    std::vector<Endpoint> given) {
  return to_tuple(
      interruptible<Views>(client, status_work(client, uid, connections, std::move(given)), uid));
}

PendingCall begin_status(Client& client, const std::string& uid, bool connections,
                         std::vector<Endpoint> given) {
  return begin<Views>(
      client.calls(), status_work(client, uid, connections, std::move(given)),
      [](const Views& views) -> py::object { return to_tuple(views); }, uid);
}

auto rate_work(Client& client, const std::string& uid, long long rate,
               std::vector<Endpoint> given) {
  return [shared = &client, uid, rate, given = std::move(given)]() -> Result<bool> {
    const auto servers = places(*shared, uid, given);
    if (!servers) return servers.error();
    return (**shared).set_rate(uid, rate, *servers);
  };
}

/// Whether it is leased everywhere.
bool set_rate_at(Client& client, const std::string& uid, long long rate,
                 std::vector<Endpoint> given) {
  return blocking<bool>(client.calls(), rate_work(client, uid, rate, std::move(given)), {}, uid);
}

PendingCall begin_set_rate(Client& client, const std::string& uid, long long rate,
                           std::vector<Endpoint> given) {
  const auto work = [rate_change = rate_work(client, uid, rate, std::move(given))](
                        client::Interrupt&) { return rate_change(); };
  return begin<bool>(
      client.calls(), work, [](bool leased) -> py::object { return py::bool_(leased); }, uid);
}

std::unique_ptr<WatchHandle> watch_at(Client& client, const std::string& uid, double period,
                                      std::vector<Endpoint> given) {
  return std::make_unique<WatchHandle>(
      client.calls(), *client, uid,
      [shared = &client, uid, given = std::move(given)] { return places(*shared, uid, given); },
      seconds_argument("period", period));
}

/// One session, from its request on. Shares the client; any thread.
class SessionHandle {
 public:
  SessionHandle(const Owned<Client>& client, Endpoint prod, Endpoint cons, SessionRequest request)
      : client_(client.share()),
        uid_(request.uid),
        prod_key_(request.prod_app_key),
        cons_key_(request.cons_app_key),
        servers_{prod, cons},
        set_up_(std::make_shared<SetUp>()) {
    if (prod == cons) servers_.pop_back();
    Client* const shared = &*client_;
    const auto observe = [set_up = set_up_](const client::StateChange& change) {
      const std::lock_guard lock(set_up->mutex);
      set_up->states.push_back(change);
    };
    call_ = start_or_raise(
        client_->calls(),
        [set_up = set_up_, shared, prod, cons, request = std::move(request), observe] {
          auto result = (**shared).request(prod, cons, request, observe, &set_up->interrupt);
          const std::lock_guard lock(set_up->mutex);
          set_up->result.emplace(std::move(result));
        },
        [set_up = set_up_] { set_up->interrupt.trigger(); });
  }

  /// False if it is still being set up after `timeout`.
  [[nodiscard]] bool wait_ready(std::optional<double> timeout) const {
    client_.check();
    std::optional<milliseconds> limit;
    if (timeout) limit = seconds_argument("timeout", *timeout);
    if (!wait_with_signals(*call_, limit)) return false;
    (void)result();
    return true;
  }

  /// Until it is set up; Ctrl-C releases it, in the background.
  void wait_or_abandon() {
    try {
      wait_with_signals(*call_);
    } catch (const py::error_already_set&) {
      is_held_ = true;  // it is released here, which is waited for a moment
      leave(client_->calls(), call_, [end = ending()] { (void)end(); });
      throw;
    }
    (void)result();
  }

  /// Somebody has it now. A session that nobody got, as Ctrl-C came in between, is released.
  void hold() noexcept { is_held_ = true; }
  SessionHandle(const SessionHandle&) = delete;
  SessionHandle& operator=(const SessionHandle&) = delete;
  /// Without the GIL.
  ~SessionHandle() {
    if (is_held_ || client_.left()) return;
    call_->interrupt();
    (void)client_->calls().start([end = ending()] { (void)end(); });
  }

  [[nodiscard]] bool ready() const {
    client_.check();
    const py::gil_scoped_release released;
    const std::lock_guard lock(set_up_->mutex);
    return set_up_->result && *set_up_->result;
  }

  /// Ends it, set up or not; one that never came to be is a success.
  void release() const {
    if (client_.left()) return;
    const Leaving leaving{};
    blocking<void>(client_->calls(), ending(), leaving, uid_);
  }

  /// Until it is set up. To cancel that leaves the session to be set up: `begin_release` ends it.
  [[nodiscard]] PendingCall begin_wait() const {
    client_.check();
    auto value = [set_up = set_up_, ended = call_.get(), uid = uid_]() -> py::object {
      (void)value_or_raise(outcome(*set_up, *ended), uid);
      return py::none();
    };
    return std::make_unique<Pending>(call_, std::move(value), nullptr);
  }
  [[nodiscard]] PendingCall begin_release() const {
    const auto work = [end = ending()](client::Interrupt&) { return end(); };
    return begin(client_->calls(), work, uid_);
  }

  bool set_rate(long long rate) const { return set_rate_at(*client_, uid_, rate, servers_); }
  [[nodiscard]] PendingCall begin_set_rate(long long rate) const {
    return bindings::begin_set_rate(*client_, uid_, rate, servers_);
  }

  [[nodiscard]] py::tuple status(bool connections) const {
    return status_at(*client_, uid_, connections, servers_);
  }
  [[nodiscard]] PendingCall begin_status(bool connections) const {
    return bindings::begin_status(*client_, uid_, connections, servers_);
  }
  [[nodiscard]] std::unique_ptr<WatchHandle> watch(double period) const {
    return watch_at(*client_, uid_, period, servers_);
  }

  /// For repr.
  [[nodiscard]] std::string description() const {
    if (client_.left()) return uid_ + " of another process";
    const py::gil_scoped_release released;
    const std::lock_guard lock(set_up_->mutex);
    if (!set_up_->result) return uid_ + " being set up";
    return uid_ + (*set_up_->result ? " set up" : " failed");
  }
  [[nodiscard]] const std::string& uid() const { return uid_; }
  [[nodiscard]] std::vector<std::string> listeners() const { return result().listeners; }
  [[nodiscard]] std::vector<std::string> prod_listeners() const { return result().prod_listeners; }
  [[nodiscard]] std::vector<std::string> targets() const { return result().targets; }
  [[nodiscard]] std::string transport() const { return result().transport; }
  [[nodiscard]] double setup_ms() const { return milliseconds_of(result().setup); }

  [[nodiscard]] py::object states() const {
    client_.check();
    std::vector<client::StateChange> states;
    {
      const py::gil_scoped_release released;
      const std::lock_guard lock(set_up_->mutex);
      states = set_up_->states;
    }
    return to_python(states);
  }

  [[nodiscard]] py::bytes key(const std::string& role) const {
    const Secret& key = value_or_raise(parse_role(role)) == Role::producer ? prod_key_ : cons_key_;
    return {reinterpret_cast<const char*>(key.bytes().data()), key.size()};
  }

 private:
  /// What the call and this object share.
  struct SetUp {
    client::Interrupt interrupt;
    std::mutex mutex;
    std::vector<client::StateChange> states;
    std::optional<Result<SessionResult>> result;
  };

  [[nodiscard]] std::function<Status()> ending() const {
    return [set_up = set_up_, call = call_, shared = &*client_, uid = uid_,
            servers = servers_]() -> Status {
      set_up->interrupt.trigger();
      call->wait();
      const bool was_set_up = set_up->result && *set_up->result;
      return was_set_up ? (**shared).release(uid, servers) : Status();
    };
  }

  [[nodiscard]] SessionResult result() const {
    client_.check();
    return value_or_raise(outcome(*set_up_, *call_), uid_);
  }

  /// What came of the set-up. With the GIL, which nobody who holds the mutex waits for.
  static Result<SessionResult> outcome(SetUp& set_up, Call& call) {
    const py::gil_scoped_release released;
    {
      const std::lock_guard lock(set_up.mutex);
      if (set_up.result) return *set_up.result;
    }
    if (call.wait_for(milliseconds(0))) return Error{Cause::failure, call.exception()};
    return Error{Cause::failed_precondition,
                 "the session is being set up; wait_ready() waits for it"};
  }

  Owned<Client> client_;
  const std::string uid_;
  const Secret prod_key_;
  const Secret cons_key_;
  std::vector<Endpoint> servers_;
  std::shared_ptr<SetUp> set_up_;
  std::shared_ptr<Call> call_;
  bool is_held_ = false;  ///< Changed with the GIL.
};

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

  void release(const std::string& uid, const std::vector<std::string>& servers) const {
    const auto work = [shared = &*client_, uid, given = endpoint_arguments("servers", servers)] {
      return release_at(*shared, uid, given);
    };
    blocking<void>(client_->calls(), work, {}, uid);
  }

  bool set_rate(const std::string& uid, long long rate,
                const std::vector<std::string>& servers) const {
    return set_rate_at(*client_, uid, rate, endpoint_arguments("servers", servers));
  }

  [[nodiscard]] py::tuple status(const std::string& uid, const std::vector<std::string>& servers,
                                 bool connections) const {
    return status_at(*client_, uid, connections, endpoint_arguments("servers", servers));
  }

  [[nodiscard]] PendingCall begin_release(const std::string& uid,
                                          const std::vector<std::string>& servers) const {
    const auto work = [shared = &*client_, uid, given = endpoint_arguments("servers", servers)](
                          client::Interrupt&) { return release_at(*shared, uid, given); };
    return begin(client_->calls(), work, uid);
  }

  [[nodiscard]] PendingCall begin_set_rate(const std::string& uid, long long rate,
                                           const std::vector<std::string>& servers) const {
    return bindings::begin_set_rate(*client_, uid, rate, endpoint_arguments("servers", servers));
  }

  [[nodiscard]] PendingCall begin_status(const std::string& uid,
                                         const std::vector<std::string>& servers,
                                         bool connections) const {
    return bindings::begin_status(*client_, uid, connections,
                                  endpoint_arguments("servers", servers));
  }

  [[nodiscard]] std::unique_ptr<WatchHandle> watch(const std::string& uid, double period,
                                                   const std::vector<std::string>& servers) const {
    return watch_at(*client_, uid, period, endpoint_arguments("servers", servers));
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
  [[nodiscard]] std::function<Result<control::ServerInfo>(client::Interrupt&)> info_work(
      const std::string& server) const {
    return [shared = &*client_, at = endpoint_argument("server", server)](
               client::Interrupt& interrupt) { return (**shared).info(at, &interrupt); };
  }

  Owned<Client> client_;
};

}  // namespace

void bind_user_client(py::module_& module) {
  module.def("default_state_directory", &default_state_directory);
  module.def(
      "parse_endpoint",
      [](const std::string& text) {
        const Endpoint endpoint = endpoint_argument("endpoint", text);
        return py::make_tuple(endpoint.host, endpoint.port);
      },
      py::arg("text"));
  py::class_<Pending>(module, "Pending", py::release_gil_before_calling_cpp_dtor())
      .def("fileno", &Pending::fileno)
      .def("done", &Pending::done)
      .def("result", &Pending::result)
      .def("cancel", &Pending::cancel);
  py::class_<WatchHandle>(module, "Watch", py::release_gil_before_calling_cpp_dtor())
      .def("next", &WatchHandle::next)
      .def("take", &WatchHandle::take)
      .def("fileno", &WatchHandle::fileno)
      .def("close", &WatchHandle::close);
  py::class_<SessionHandle>(module, "Session", py::release_gil_before_calling_cpp_dtor())
      .def("wait_ready", &SessionHandle::wait_ready, py::arg("timeout"))
      .def("hold", &SessionHandle::hold)
      .def("release", &SessionHandle::release)
      .def("set_rate", &SessionHandle::set_rate, py::arg("rate"))
      .def("status", &SessionHandle::status, py::arg("connections"))
      .def("watch", &SessionHandle::watch, py::arg("period"))
      .def("begin_wait", &SessionHandle::begin_wait)
      .def("begin_release", &SessionHandle::begin_release)
      .def("begin_set_rate", &SessionHandle::begin_set_rate, py::arg("rate"))
      .def("begin_status", &SessionHandle::begin_status, py::arg("connections"))
      .def("key", &SessionHandle::key, py::arg("role"))
      .def_property_readonly("ready", &SessionHandle::ready)
      .def_property_readonly("description", &SessionHandle::description)
      .def_property_readonly("uid", &SessionHandle::uid)
      .def_property_readonly("listeners", &SessionHandle::listeners)
      .def_property_readonly("prod_listeners", &SessionHandle::prod_listeners)
      .def_property_readonly("targets", &SessionHandle::targets)
      .def_property_readonly("transport", &SessionHandle::transport)
      .def_property_readonly("setup_ms", &SessionHandle::setup_ms)
      .def_property_readonly("states", &SessionHandle::states);
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
      .def("release", &UserClientHandle::release, py::arg("uid"), py::arg("servers"))
      .def("set_rate", &UserClientHandle::set_rate, py::arg("uid"), py::arg("rate"),
           py::arg("servers"))
      .def("status", &UserClientHandle::status, py::arg("uid"), py::arg("servers"),
           py::arg("connections"))
      .def("info", &UserClientHandle::info, py::arg("server"))
      .def("watch", &UserClientHandle::watch, py::arg("uid"), py::arg("period"), py::arg("servers"))
      .def("begin_release", &UserClientHandle::begin_release, py::arg("uid"), py::arg("servers"))
      .def("begin_set_rate", &UserClientHandle::begin_set_rate, py::arg("uid"), py::arg("rate"),
           py::arg("servers"))
      .def("begin_status", &UserClientHandle::begin_status, py::arg("uid"), py::arg("servers"),
           py::arg("connections"))
      .def("begin_info", &UserClientHandle::begin_info, py::arg("server"))
      .def("close", &UserClientHandle::close);
}

}  // namespace scistream::bindings

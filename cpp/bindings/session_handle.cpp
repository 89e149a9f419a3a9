#include "bindings/session_handle.hpp"

#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "bindings/errors.hpp"
#include "bindings/values.hpp"

namespace py = pybind11;

namespace scistream::bindings {

using std::chrono::milliseconds;

SessionHandle::SessionHandle(const Owned<Client>& client, const Endpoint& prod,
                             const Endpoint& cons, client::SessionRequest request)
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

SessionHandle::~SessionHandle() {
  if (is_held_ || client_.left()) return;
  call_->interrupt();
  (void)client_->calls().start(abandoned());
}

bool SessionHandle::wait_ready(std::optional<double> timeout) const {
  client_.check();
  std::optional<milliseconds> limit;
  if (timeout) limit = seconds_argument("timeout", *timeout);
  if (!wait_with_signals(*call_, limit)) return false;
  (void)result();
  return true;
}

void SessionHandle::wait_or_abandon() {
  try {
    wait_with_signals(*call_);
  } catch (const py::error_already_set&) {
    is_held_ = true;  // it is released here, which is waited for a moment
    leave(client_->calls(), call_, abandoned());
    throw;
  }
  (void)result();
}

PendingCall SessionHandle::begin_wait() const {
  client_.check();
  auto value = [set_up = set_up_, ended = call_.get(), uid = uid_]() -> py::object {
    (void)value_or_raise(outcome(*set_up, *ended), uid);
    return py::none();
  };
  return std::make_unique<Pending>(call_, std::move(value), nullptr);
}

std::function<Status(client::Interrupt&)> SessionHandle::ending(bool drain) const {
  return [set_up = set_up_, call = call_,
          release = calls().release_work(drain)](client::Interrupt& interrupt) -> Status {
    set_up->interrupt.trigger();
    call->wait();
    const bool was_set_up = set_up->result && *set_up->result;
    return was_set_up ? release(interrupt) : Status();
  };
}

Calls::Work SessionHandle::abandoned() const {
  return [end = ending(false), none = std::make_shared<client::Interrupt>()] { (void)end(*none); };
}

void SessionHandle::release(bool drain) const { end_session(*client_, ending(drain), drain, uid_); }

PendingCall SessionHandle::begin_release(bool drain) const {
  return begin(client_->calls(), ending(drain), uid_);
}

bool SessionHandle::ready() const {
  client_.check();
  const py::gil_scoped_release released;
  const std::lock_guard lock(set_up_->mutex);
  return set_up_->result && *set_up_->result;
}

std::string SessionHandle::description() const {
  if (client_.left()) return uid_ + " of another process";
  const py::gil_scoped_release released;
  const std::lock_guard lock(set_up_->mutex);
  if (!set_up_->result) return uid_ + " being set up";
  return uid_ + (*set_up_->result ? " set up" : " failed");
}

double SessionHandle::setup_ms() const { return milliseconds_of(result().setup); }

py::object SessionHandle::states() const {
  client_.check();
  std::vector<client::StateChange> states;
  {
    const py::gil_scoped_release released;
    const std::lock_guard lock(set_up_->mutex);
    states = set_up_->states;
  }
  return to_python(states);
}

py::bytes SessionHandle::key(const std::string& role) const {
  const Secret& key = value_or_raise(parse_role(role)) == Role::producer ? prod_key_ : cons_key_;
  return {reinterpret_cast<const char*>(key.bytes().data()), key.size()};
}

client::SessionResult SessionHandle::result() const {
  client_.check();
  return value_or_raise(outcome(*set_up_, *call_), uid_);
}

Result<client::SessionResult> SessionHandle::outcome(SetUp& set_up, Call& call) {
  const py::gil_scoped_release released;
  {
    const std::lock_guard lock(set_up.mutex);
    if (set_up.result) return *set_up.result;
  }
  if (call.wait_for(milliseconds(0))) return Error{Cause::failure, call.exception()};
  return Error{Cause::failed_precondition,
               "the session is being set up; wait_ready() waits for it"};
}

void bind_session(py::module_& module) {
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
      .def("release", &SessionHandle::release, py::arg("drain"))
      .def("set_rate", &SessionHandle::set_rate, py::arg("rate"))
      .def("status", &SessionHandle::status, py::arg("connections"))
      .def("watch", &SessionHandle::watch, py::arg("period"))
      .def("begin_wait", &SessionHandle::begin_wait)
      .def("begin_release", &SessionHandle::begin_release, py::arg("drain"))
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
}

}  // namespace scistream::bindings

#include "bindings/session_calls.hpp"

#include <pybind11/stl.h>

#include "bindings/errors.hpp"
#include "bindings/values.hpp"

namespace py = pybind11;

namespace scistream::bindings {

void end_session(Client& client, std::function<Status(client::Interrupt&)> end, bool drain,
                 const std::string& uid) {
  if (drain) return interruptible<void>(client, std::move(end), uid);
  const auto to_its_end = [end = std::move(end), none = std::make_shared<client::Interrupt>()] {
    return end(*none);
  };
  blocking<void>(client.calls(), to_its_end, {}, uid);
}

Result<std::vector<Endpoint>> SessionCalls::places() const {
  if (!servers_.empty()) return servers_;
  return (**client_).servers_of(uid_);
}

std::function<Status(client::Interrupt&)> SessionCalls::release_work(bool drain) const {
  return [*this, drain](client::Interrupt& interrupt) -> Status {
    const auto servers = places();
    if (!servers) return servers.error();
    return drain ? (**client_).drain(uid_, *servers, &interrupt)
                 : (**client_).release(uid_, *servers);
  };
}

void SessionCalls::release(bool drain) const {
  end_session(*client_, release_work(drain), drain, uid_);
}

PendingCall SessionCalls::begin_release(bool drain) const {
  return begin(client_->calls(), release_work(drain), uid_);
}

std::function<Result<bool>()> SessionCalls::rate_work(long long rate) const {
  return [*this, rate]() -> Result<bool> {
    const auto servers = places();
    if (!servers) return servers.error();
    return (**client_).set_rate(uid_, rate, *servers);
  };
}

bool SessionCalls::set_rate(long long rate) const {
  return blocking<bool>(client_->calls(), rate_work(rate), {}, uid_);
}

PendingCall SessionCalls::begin_set_rate(long long rate) const {
  const auto work = [change = rate_work(rate)](client::Interrupt&) { return change(); };
  return begin<bool>(
      client_->calls(), work, [](bool leased) -> py::object { return py::bool_(leased); }, uid_);
}

std::function<Result<SessionCalls::Views>(client::Interrupt&)> SessionCalls::status_work(
    bool connections) const {
  const auto detail = connections ? session::Detail::connections : session::Detail::session;
  return [*this, detail](client::Interrupt& interrupt) -> Result<Views> {
    const auto servers = places();
    if (!servers) return servers.error();
    return (**client_).status(uid_, *servers, detail, nullptr, &interrupt);
  };
}

py::tuple SessionCalls::status(bool connections) const {
  return to_python(interruptible<Views>(*client_, status_work(connections), uid_));
}

PendingCall SessionCalls::begin_status(bool connections) const {
  return begin<Views>(
      client_->calls(), status_work(connections),
      [](const Views& views) -> py::object { return to_python(views); }, uid_);
}

std::unique_ptr<WatchHandle> SessionCalls::watch(double period) const {
  return std::make_unique<WatchHandle>(
      client_->calls(), **client_, uid_, [*this] { return places(); },
      seconds_argument("period", period));
}

}  // namespace scistream::bindings

#include "bindings/watch.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <exception>
#include <utility>

#include "bindings/values.hpp"

namespace py = pybind11;

namespace scistream::bindings {

namespace {

using std::chrono::milliseconds;

/// Between two looks for Ctrl-C.
constexpr milliseconds slice{50};

}  // namespace

void WatchHandle::Shared::ring() const {
  const std::uint64_t one = 1;
  (void)!::write(signal.get(), &one, sizeof one);
}

WatchHandle::WatchHandle(Calls& calls, client::UserClient& client, std::string uid,
                         std::function<Result<std::vector<Endpoint>>()> servers,
                         milliseconds period)
    : uid_(std::move(uid)), shared_(std::make_shared<Shared>()) {
  shared_->signal = net::Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!shared_->signal) raise(errno_error("cannot make an event descriptor", errno), uid_);
  (void)start_or_raise(
      calls,
      [shared = shared_, &client, uid = uid_, servers = std::move(servers), period] {
        try {
          const auto places = servers();
          if (!places) return shared->events.end(places.error());
          shared->events.end(client.watch(
              uid, *places, period,
              [shared](const session::SessionEvent& event) { shared->events.push(event); }, nullptr,
              &shared->interrupt));
        } catch (const std::exception& error) {
          shared->events.end(Error{Cause::failure, error.what()});
        }
      },
      [shared = shared_] { shared->interrupt.trigger(); });
}

WatchHandle::~WatchHandle() {
  if (!home_.left()) shared_->interrupt.trigger();
}

void WatchHandle::check_end(const Status& how) const {
  if (!how && !(closed_ && how.error().cause == Cause::cancelled)) raise(how.error(), uid_);
}

py::object WatchHandle::next() {
  home_.check();
  for (;;) {
    bool came = false;
    {
      const py::gil_scoped_release released;
      came = shared_->events.wait_for(slice);
    }
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (!came) continue;
    const auto taken = shared_->events.take(1);
    if (!taken.events.empty()) return to_python(taken.events.front());
    if (!taken.ended) continue;  // another thread has taken it
    check_end(*taken.ended);
    return py::none();
  }
}

py::tuple WatchHandle::take() {
  home_.check();
  std::uint64_t ignored = 0;
  (void)!::read(shared_->signal.get(), &ignored, sizeof ignored);
  const auto taken = shared_->events.take();
  if (taken.events.empty() && taken.ended) check_end(*taken.ended);
  py::list list;
  for (const auto& event : taken.events) list.append(to_python(event));
  // Why it has ended is told by the next call.
  if (taken.ended && !taken.events.empty()) shared_->ring();
  return py::make_tuple(py::tuple(list), !taken.ended || !taken.events.empty());
}

int WatchHandle::fileno() const {
  home_.check();
  return shared_->signal.get();
}

void WatchHandle::close() {
  closed_ = true;
  if (!home_.left()) shared_->interrupt.trigger();
}

}  // namespace scistream::bindings

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

/// A loop that takes nothing loses counters, of which the latest tells all, and never states.
constexpr std::size_t most_waiting = 1024;
/// Between two looks for Ctrl-C.
constexpr milliseconds slice{50};

}  // namespace

void WatchHandle::Shared::ring() const {
  const std::uint64_t one = 1;
  (void)!::write(signal.get(), &one, sizeof one);
}

void WatchHandle::Shared::push(const session::SessionEvent& event) {
  const std::lock_guard lock(mutex);
  const bool may_go = event.kind == session::SessionEvent::Kind::counters;
  if (may_go && events.size() >= most_waiting) return;
  events.push_back(event);
  changed.notify_all();
  ring();
}

void WatchHandle::Shared::end(const Status& how) {
  const std::lock_guard lock(mutex);
  ended = how;
  changed.notify_all();
  ring();
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
          if (!places) return shared->end(places.error());
          shared->end(client.watch(
              uid, *places, period,
              [shared](const session::SessionEvent& event) { shared->push(event); }, nullptr,
              &shared->interrupt));
        } catch (const std::exception& error) {
          shared->end(Error{Cause::failure, error.what()});
        }
      },
      [shared = shared_] { shared->interrupt.trigger(); });
}

WatchHandle::~WatchHandle() {
  if (!home_.left()) shared_->interrupt.trigger();
}

bool WatchHandle::wait_for_one(milliseconds limit) const {
  std::unique_lock lock(shared_->mutex);
  return shared_->changed.wait_for(
      lock, limit, [this] { return !shared_->events.empty() || shared_->ended.has_value(); });
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
      came = wait_for_one(slice);
    }
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (!came) continue;
    std::unique_lock lock(shared_->mutex);
    if (!shared_->events.empty()) {
      const auto event = std::move(shared_->events.front());
      shared_->events.pop_front();
      lock.unlock();
      return to_python(event);
    }
    if (!shared_->ended) continue;  // another thread has taken it
    const Status how = *shared_->ended;
    lock.unlock();
    check_end(how);
    return py::none();
  }
}

py::tuple WatchHandle::take() {
  home_.check();
  std::uint64_t ignored = 0;
  (void)!::read(shared_->signal.get(), &ignored, sizeof ignored);
  std::deque<session::SessionEvent> events;
  std::optional<Status> ended;
  {
    const std::lock_guard lock(shared_->mutex);
    events.swap(shared_->events);
    ended = shared_->ended;
  }
  if (events.empty() && ended) check_end(*ended);
  py::list list;
  for (const auto& event : events) list.append(to_python(event));
  // Why it has ended is told by the next call.
  if (ended && !events.empty()) shared_->ring();
  return py::make_tuple(py::tuple(list), !ended || !events.empty());
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

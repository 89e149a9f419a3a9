#include "scistream/session.hpp"

#include <utility>

#include "net/signals_blocked.hpp"
#include "sdk/arguments.hpp"
#include "sdk/guarded.hpp"
#include "sdk/session_impl.hpp"
#include "sdk/stopping.hpp"
#include "sdk/values.hpp"

namespace scistream::inline v0 {

// ---- what is behind them ------------------------------------------------------------------------

Session::Impl::~Impl() {
  if (!kept_) (void)release();
}

Status Session::Impl::release() {
  const std::lock_guard lock(mutex_);
  if (released_) return {};
  auto status = sdk::guarded([this] { return place_.client->release(place_.uid, place_.servers); });
  released_ = status.ok();
  return status;
}

Status Session::Impl::drain(std::stop_token stop) {
  {
    const std::lock_guard lock(mutex_);
    if (released_) return {};
  }
  // Not under the lock: a release ends it.
  sdk::Stopping stopping(std::move(stop));
  auto status = sdk::guarded(
      [&] { return place_.client->drain(place_.uid, place_.servers, stopping.interrupt()); });
  const std::lock_guard lock(mutex_);
  released_ = released_ || status.ok();
  return status;
}

void Session::Impl::keep() {
  const std::lock_guard lock(mutex_);
  kept_ = true;
}

PendingSession::Impl::Impl(SessionPlace place, Endpoint prod, Endpoint cons,
                           client::SessionRequest request)
    : place_(std::move(place)) {
  const net::SignalsBlocked blocked;  // signals belong to the program's own threads
  thread_ = std::thread([this, prod = std::move(prod), cons = std::move(cons),
                         request = std::move(request)] { run(prod, cons, request); });
}

PendingSession::Impl::~Impl() {
  interrupt_.trigger();
  thread_.join();
  if (handed_out_ || !*result_) return;
  (void)sdk::guarded([this] { return place_.client->release(place_.uid, place_.servers); });
}

void PendingSession::Impl::run(const Endpoint& prod, const Endpoint& cons,
                               const client::SessionRequest& request) {
  const auto observe = [this](const client::StateChange& change) {
    const std::lock_guard lock(mutex_);
    states_.push_back(sdk::to_public(change));
  };
  auto result = sdk::guarded(
      [&] { return place_.client->request(prod, cons, request, observe, &interrupt_); });
  const std::lock_guard lock(mutex_);
  result_.emplace(std::move(result));
  changed_.notify_all();
}

std::vector<StateChange> PendingSession::Impl::states() const {
  const std::lock_guard lock(mutex_);
  return states_;
}

Result<std::unique_ptr<Session::Impl>> PendingSession::Impl::wait(
    std::optional<std::chrono::milliseconds> timeout, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const auto ended = [this] { return result_.has_value(); };
  const bool is_there =
      timeout ? changed_.wait_for(lock, stop, *timeout, ended) : changed_.wait(lock, stop, ended);
  if (is_there) return hand_out();
  if (stop.stop_requested()) return Error{Cause::cancelled, "interrupted"};
  return Error{Cause::timeout,
               "not set up within " + std::to_string(timeout->count()) + " ms; it goes on"};
}

Result<std::unique_ptr<Session::Impl>> PendingSession::Impl::hand_out() {
  if (!*result_) return result_->error();
  if (handed_out_) return Error{Cause::failed_precondition, "the session has been handed out"};
  const client::SessionResult& result = **result_;
  Session::Impl::SetUp set_up;
  for (const auto& [texts, endpoints] : {std::pair{&result.listeners, &set_up.listeners},
                                         std::pair{&result.prod_listeners, &set_up.prod_listeners},
                                         std::pair{&result.targets, &set_up.targets}}) {
    auto usable = sdk::usable_endpoints(*texts);
    if (!usable) return usable.error();
    *endpoints = std::move(*usable);
  }
  set_up.transport = result.transport;
  set_up.time = result.setup;
  set_up.states = states_;
  handed_out_ = true;
  return std::make_unique<Session::Impl>(place_, std::move(set_up));
}

// ---- Session ------------------------------------------------------------------------------------

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::Session(Session&& other) noexcept = default;
Session& Session::operator=(Session&& other) noexcept = default;
Session::~Session() = default;

const std::string& Session::uid() const noexcept { return impl_->place().uid; }
const std::vector<Endpoint>& Session::listeners() const noexcept {
  return impl_->set_up().listeners;
}
const std::vector<Endpoint>& Session::prod_listeners() const noexcept {
  return impl_->set_up().prod_listeners;
}
const std::vector<Endpoint>& Session::targets() const noexcept { return impl_->set_up().targets; }
const std::string& Session::transport() const noexcept { return impl_->set_up().transport; }
std::chrono::microseconds Session::setup_time() const noexcept { return impl_->set_up().time; }
const std::vector<StateChange>& Session::states() const noexcept { return impl_->set_up().states; }
const Secret& Session::app_key(Role role) const noexcept { return impl_->place().app_key(role); }

Result<std::vector<SessionStatus>> Session::status(std::stop_token stop) const {
  return sdk::guarded([&]() -> Result<std::vector<SessionStatus>> {
    sdk::Stopping stopping(std::move(stop));
    const SessionPlace& place = impl_->place();
    const auto views = place.client->status(place.uid, place.servers, session::Detail::session,
                                            nullptr, stopping.interrupt());
    if (!views) return views.error();
    return sdk::to_public(*views);
  });
}

Result<SessionStats> Session::stats(std::stop_token stop) const {
  const auto sides = status(std::move(stop));
  if (!sides) return sides.error();
  return sdk::stats_of(*sides);
}

Result<bool> Session::set_rate(long long rate_mbps) {
  return sdk::guarded([&] {
    const SessionPlace& place = impl_->place();
    return place.client->set_rate(place.uid, rate_mbps, place.servers);
  });
}

Status Session::release() { return impl_->release(); }
Status Session::drain(std::stop_token stop) { return impl_->drain(std::move(stop)); }
void Session::keep() noexcept { impl_->keep(); }

// ---- PendingSession -----------------------------------------------------------------------------

PendingSession::PendingSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PendingSession::PendingSession(PendingSession&& other) noexcept = default;
PendingSession& PendingSession::operator=(PendingSession&& other) noexcept = default;
PendingSession::~PendingSession() = default;

const std::string& PendingSession::uid() const noexcept { return impl_->place().uid; }
const Secret& PendingSession::app_key(Role role) const noexcept {
  return impl_->place().app_key(role);
}
std::vector<StateChange> PendingSession::states() const { return impl_->states(); }

Result<Session> PendingSession::wait(std::optional<std::chrono::milliseconds> timeout,
                                     std::stop_token stop) {
  if (timeout) {
    if (auto status = sdk::check_duration("timeout", *timeout); !status) return status.error();
  }
  auto session = impl_->wait(timeout, stop);
  if (!session) return session.error();
  return Session(std::move(*session));
}

}  // namespace scistream::inline v0

#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/scheduler.hpp"
#include "session/machine.hpp"
#include "session/types.hpp"

namespace scistream::session {

/// Names one waiting `req`, so that its cancellation finds it.
using Ticket = std::uint64_t;

struct RequestWaiter {
  Ticket ticket = 0;
  std::size_t most_sessions = SIZE_MAX;  ///< Whoever waits may have.
  Callback<RequestAnswer> done;
};

struct HelloWaiter {
  Hello hello;
  Principal by;
  Callback<HelloAnswer> done;
};

/// One waiting `release`, of one or both roles of an id.
struct PendingRelease {
  Ticket ticket = 0;
  std::size_t left = 0;  ///< Roles that have not ended yet.
  Callback<void> done;
};

struct UpdateWaiter {
  std::optional<UpdateTargets> update;  ///< Empty: another rate for the present targets.
  Callback<UpdateAnswer> done;
};

/// A `req` with other values for an id whose session is still being released, or whose own `req`
/// may have been cut a moment ago.
struct Successor {
  Request request;
  RequestWaiter waiter;
  Scheduler::Timer verdict;  ///< Refused then, unless the present session ends before.
};

/// One session of the control server: its machine and everybody who waits for it. Owned by the
/// Manager and by calls in flight to the data server; lives on the Manager's scheduler.
struct Session {
  explicit Session(Request wanted, Clock::time_point now)
      : request(std::move(wanted)), born(now), rate(request.rate) {}

  [[nodiscard]] bool waits_for_hello() const {
    return machine.phase() == Phase::reserving || machine.phase() == Phase::hello;
  }

  Request request;
  Machine machine;
  Clock::time_point born;
  std::chrono::system_clock::time_point ready_since;
  bool kept = false;  ///< The store has it.

  std::uint64_t reservation = 0;       ///< The data server's id for it, once reserved.
  std::vector<std::uint16_t> ports;    ///< Bound ones, once reserved.
  std::vector<std::string> listeners;  ///< As announced.
  std::vector<std::string> prod_listeners;
  std::optional<UpdateTargets> targets;  ///< In force, or being set.
  dataserver::Counters counters;         ///< The last ones heard of, with
  dataserver::Counters counters_before;  ///< those of data servers that have died since.
  Rate rate;                             ///< As requested, or changed since.
  bool rate_is_leased = false;

  std::vector<RequestWaiter> request_waiters;
  std::deque<HelloWaiter> early_hellos;  ///< Came while the listeners are being reserved.
  std::vector<HelloWaiter> ready_waiters;
  std::deque<UpdateWaiter> updates;  ///< The first one is being set, the others follow.
  std::vector<std::shared_ptr<PendingRelease>> release_waiters;
  std::list<Successor> successors;
  std::set<std::string> nonces;  ///< Of accepted hellos.

  bool call_in_flight = false;     ///< reserve or update at the data server.
  bool restoring = false;          ///< Being given back to a data server that was restarted.
  bool release_when_idle = false;  ///< Release as soon as that call has come back.
  dataserver::Ending ending = dataserver::Ending::cut;
  bool drain_is_users = false;  ///< It drains because its user wants to, however long that takes.
  Error reason;                 ///< Why it ends.
  std::string note;             ///< What its data server last told of it.

  Scheduler::Timer phase_timer;   ///< For hello, then for the first update.
  Scheduler::Timer client_timer;  ///< After the last waiting `req` was cut.
  Scheduler::Timer lifetime_timer;
  Scheduler::Timer idle_timer;
  Scheduler::Timer restore_timer;  ///< Until the next attempt to give it back.

  /// A pending call holds the session: without this, it would hold itself.
  void cancel_timers() {
    for (Scheduler::Timer* timer :
         {&phase_timer, &client_timer, &lifetime_timer, &idle_timer, &restore_timer}) {
      timer->cancel();
    }
  }
};

}  // namespace scistream::session

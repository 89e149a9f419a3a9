// What survives this process: sessions kept in the store, and taken up again by the next one.
#include <algorithm>
#include <utility>

#include "session/manager.hpp"

namespace scistream::session {

namespace {

constexpr std::chrono::seconds forget_again{5};

/// How long ago, by a calendar that may have been set back since.
Clock::duration ago(std::chrono::system_clock::time_point then,
                    std::chrono::system_clock::time_point now) {
  return std::max(Clock::duration(0), std::chrono::duration_cast<Clock::duration>(now - then));
}

}  // namespace

StoredSession Manager::record(const Session& session, Phase phase) const {
  StoredSession stored;
  stored.request = session.request;
  stored.phase = phase;
  stored.draining = session.ending == dataserver::Ending::drain;
  stored.drain_is_users = session.drain_is_users;
  stored.rate = session.rate;
  stored.rate_is_leased = session.rate_is_leased;
  stored.reservation = session.reservation;
  stored.counters_before = session.counters_before;
  stored.ports = session.ports;
  stored.listeners = session.listeners;
  stored.prod_listeners = session.prod_listeners;
  stored.targets = session.targets;
  stored.nonces = session.nonces;
  stored.born = options_.calendar() - std::chrono::duration_cast<std::chrono::milliseconds>(
                                          scheduler_.now() - session.born);
  stored.ready_since = session.ready_since;
  return stored;
}

Status Manager::keep(const SessionPtr& session, Phase phase) {
  const Status saved = store_->save(record(*session, phase));
  if (saved) session->kept = true;
  return saved;
}

void Manager::forget(const SessionKey& key, const std::string& owner) {
  to_forget_.erase(key);
  const Status forgotten = store_->forget(key, owner, options_.calendar());
  if (forgotten) return tidy_soon();
  log_->error("session {} has ended and is not forgotten yet: {}", to_string(key),
              forgotten.error().message);
  to_forget_[key] = owner;
  forget_timer_ = scheduler_.after(forget_again, [this] {
    const auto again = std::exchange(to_forget_, {});
    for (const auto& [each, whose] : again) forget(each, whose);
  });
}

/// Keys are to be gone soon after their session; wiping them for each of many costs too much.
void Manager::tidy_soon() {
  if (std::exchange(tidy_is_due_, true)) return;
  tidy_timer_ = scheduler_.after(options_.tidy_after, [this] {
    tidy_is_due_ = false;
    if (const Status tidied = store_->tidy(); !tidied)
      log_->error("keys of ended sessions may still be on disk: {}", tidied.error().message);
  });
}

void Manager::resume(Store::Contents left, Callback<void> done) {
  scheduler_.post([this, alive = std::weak_ptr(alive_), left = std::move(left),
                   done = std::move(done)]() mutable {
    if (alive.expired()) return done(shutting_down());
    const auto now = options_.calendar();
    for (const auto& [uid, owner, when] : left.released) released_.add(uid, owner, ago(when, now));
    lost_since_ = scheduler_.now();
    for (StoredSession& stored : left.sessions) resume_session(std::move(stored));
    done({});
  });
}

void Manager::resume_session(StoredSession stored) {
  const SessionKey key = stored.request.key;
  const auto age = ago(stored.born, options_.calendar());
  const auto session = std::make_shared<Session>(std::move(stored.request), scheduler_.now() - age);
  const bool ended = stored.phase == Phase::ended;
  session->machine = Machine::resumed(ended ? Phase::ready : stored.phase);
  session->kept = true;
  session->rate = stored.rate;
  session->rate_is_leased = stored.rate_is_leased;
  session->reservation = stored.reservation;
  session->counters = session->counters_before = stored.counters_before;
  session->ports = std::move(stored.ports);
  session->listeners = std::move(stored.listeners);
  session->prod_listeners = std::move(stored.prod_listeners);
  session->targets = std::move(stored.targets);
  session->nonces = std::move(stored.nonces);
  session->ready_since = stored.ready_since;
  if (stored.draining) session->ending = dataserver::Ending::drain;
  session->drain_is_users = stored.drain_is_users;
  const auto mbps = session->rate_is_leased ? static_cast<std::uint64_t>(session->rate.mbps) : 0;
  leases_.resume(key, session->request.num_conn, mbps);
  sessions_[key] = session;
  if (ended) {
    expire(session, {Cause::unavailable, "its release goes on"});
    if (!session->drain_is_users) {
      session->lifetime_timer =
          scheduler_.after(options_.resumed_drain, [this, session] { cut_now(session); });
    }
    return;
  }
  log_->info("session {}: found again, {}", to_string(key), to_string(stored.phase));
  switch (session->machine.phase()) {
    case Phase::hello:
      await(session, "hello");
      await_client(session);
      break;
    case Phase::update: await(session, "update"); break;
    default: start_lifetime(session); break;
  }
  restore(session);
}

}  // namespace scistream::session

// What the session machines decide, done: calls to the data server, timers, answers.
#include <algorithm>
#include <utility>

#include "session/manager.hpp"
#include "session/observer.hpp"

namespace scistream::session {

namespace {

/// Between attempts to release at a data server that does not answer.
constexpr std::chrono::milliseconds release_again{500};
constexpr std::chrono::milliseconds release_again_at_most{5'000};

}  // namespace

Status Manager::apply(const SessionPtr& session, Input input) {
  const State before = session->machine.state();
  const auto actions = session->machine.apply(input);
  if (!actions) {
    log_->debug("session {}: {}", to_string(session->request.key), actions.error().message);
    return actions.error();
  }
  if (session->machine.state() != before) notify(session, SessionEvent::Kind::state);
  for (const Action action : *actions) act(session, action);
  return {};
}

void Manager::expire(const SessionPtr& session, Error reason, Input input) {
  session->reason = std::move(reason);
  (void)apply(session, input);
}

void Manager::act(const SessionPtr& session, Action action) {
  switch (action) {
    case Action::reserve_listeners: return reserve_listeners(session);
    case Action::await_hello: {
      await(session, "hello");
      auto early = std::exchange(session->early_hellos, {});
      for (HelloWaiter& waiter : early) {
        if (!session->request.app_key.empty()) session->nonces.erase(waiter.hello.nonce);
        deliver_hello(session, std::move(waiter));
      }
      return;
    }
    case Action::answer_request:
      session->client_timer.cancel();
      for (RequestWaiter& waiter : std::exchange(session->request_waiters, {})) {
        tickets_.erase(waiter.ticket);
        waiter.done(RequestAnswer{session->listeners, session->prod_listeners,
                                  session->machine.state(), session->request.transport,
                                  session->request.protocol, session->request.proxy_protocol});
      }
      return;
    case Action::await_update: return await(session, "update");
    case Action::set_targets: return set_targets(session);
    case Action::answer_update: {
      const UpdateWaiter waiter = std::move(session->updates.front());
      session->updates.pop_front();
      const SessionView now = view(*session);
      waiter.done(UpdateAnswer{now.listeners, now.targets, now.state, now.transport, now.protocol});
      scheduler_.post([this, alive = std::weak_ptr(alive_), session] {
        if (!alive.expired()) next_update(session);
      });
      return;
    }
    case Action::become_ready: return become_ready(session);
    case Action::release_listeners: return release_listeners(session);
    case Action::return_leases:
      if (!leases_.give_back(session->request.key)) {
        log_->critical("session {}: its lease was gone before its end",
                       to_string(session->request.key));
      }
      return;
    case Action::end: return end(session);
  }
}

void Manager::await(const SessionPtr& session, const char* what) {
  session->phase_timer = scheduler_.after(options_.timeout, [this, session, what] {
    expire(session, {Cause::timeout, std::string("no ") + what + " came within " +
                                         std::to_string(options_.timeout.count()) + " ms"});
  });
}

void Manager::await_client(const SessionPtr& session) {
  session->client_timer = scheduler_.after(options_.client_loss, [this, session] {
    expire(session, {Cause::cancelled, "the client's request was cut and not repeated"});
  });
}

dataserver::ReserveRequest Manager::reserve_request(const Session& session) const {
  dataserver::ReserveRequest request;
  request.session = session.request.key;
  request.num_conn = session.request.num_conn;
  request.bind_host = options_.addresses.side(request.session.role).bind_host;
  request.ports = session.request.ports.value_or(options_.addresses.ports);
  request.datagrams = session.request.protocol == "udp";
  request.proxy_protocol = session.request.proxy_protocol;
  return request;
}

dataserver::UpdateRequest Manager::update_request(const Session& session) const {
  dataserver::UpdateRequest request;
  request.session = session.request.key;
  request.targets = session.targets->targets;
  // One listener feeds one target; what is left over is ignored.
  if (request.targets.size() > session.ports.size()) request.targets.resize(session.ports.size());
  request.transport = session.targets->transport;
  request.data_key = session.targets->data_key;
  request.rate = limit_of(session);
  request.allowed = session.targets->allowed;
  return request;
}

void Manager::reserve_listeners(const SessionPtr& session) {
  session->call_in_flight = true;
  when_attached([this, session] {
    data_server_->reserve(
        reserve_request(*session),
        [this, &scheduler = scheduler_, alive = std::weak_ptr(alive_), session,
         generation = data_server_generation_](Result<dataserver::Reservation> reservation) {
          scheduler.post([this, alive, session, generation, reservation = std::move(reservation)] {
            if (alive.expired()) return;
            const bool wanted = session->machine.state() == State::reserving;
            const Status ended = reservation ? Status() : reservation.error();
            // What it had bound for us went with it.
            if (wanted && replaced(generation, ended)) return reserve_listeners(session);
            on_reserved(session, reservation);
          });
        });
  });
}

void Manager::on_reserved(const SessionPtr& session,
                          const Result<dataserver::Reservation>& reservation) {
  if (reservation) {
    session->reservation = reservation->id;
    session->ports = reservation->ports;
    session->listeners = options_.addresses.announce(session->request.key.role, session->ports,
                                                     session->request.caller_host);
  }
  call_came_back(session);
  if (session->machine.state() != State::reserving) return;
  const Status kept = reservation ? keep(session, Phase::hello) : reservation.error();
  if (kept) {
    (void)apply(session, Input::reserved);
  } else {
    expire(session, kept.error(), Input::reserve_failed);
  }
}

void Manager::set_targets(const SessionPtr& session) {
  if (auto& update = session->updates.front().update) session->targets = std::move(update);
  session->call_in_flight = true;
  data_server_->update(
      update_request(*session), [this, &scheduler = scheduler_, alive = std::weak_ptr(alive_),
                                 session, generation = data_server_generation_](Status status) {
        scheduler.post([this, alive, session, generation, status = std::move(status)] {
          if (alive.expired()) return;
          const bool wanted = session->machine.state() == State::updating;
          call_came_back(session);
          if (wanted && replaced(generation, status)) {
            // Its successor gets ports and targets in one go, and answers for the update.
            if (attached_) restore(session);
            return;
          }
          on_targets_set(session, status);
        });
      });
}

void Manager::on_targets_set(const SessionPtr& session, const Status& status) {
  if (session->machine.state() != State::updating) return;
  const bool first = session->machine.phase() != Phase::ready;
  if (first) session->ready_since = options_.calendar();
  Status kept = status ? keep(session, Phase::ready) : status;
  if (!kept && status && !first) {
    // It streams, and goes on doing so.
    log_->error("session {}: its new targets will be lost with this process: {}",
                to_string(session->request.key), kept.error().message);
    kept = {};
  }
  if (!status && !first && !session->updates.empty() && !session->updates.front().update) {
    // Only the rate was to change: no reason to end what streams.
    auto& waiter = session->updates.front();
    waiter.done = [done = waiter.done, why = status.error()](const Result<UpdateAnswer>&) {
      done(why);
    };
    kept = {};
  }
  if (kept) {
    (void)apply(session, Input::updated);
  } else {
    expire(session, kept.error(), Input::update_failed);
  }
}

void Manager::cut_now(const SessionPtr& session) {
  const auto before = std::exchange(session->ending, dataserver::Ending::cut);
  if (before == dataserver::Ending::drain && !session->call_in_flight) call_release(session, 0);
}

void Manager::call_came_back(const SessionPtr& session) {
  session->call_in_flight = false;
  if (std::exchange(session->release_when_idle, false)) call_release(session, 0);
}

void Manager::become_ready(const SessionPtr& session) {
  session->phase_timer.cancel();
  for (HelloWaiter& waiter : std::exchange(session->ready_waiters, {})) {
    waiter.done(HelloAnswer{"Hello received", session->listeners});
  }
  start_lifetime(session);
  log_->info("session {}: ready, {} -> {}", to_string(session->request.key),
             session->listeners.empty() ? "" : session->listeners.front(),
             to_string(session->targets->targets.front()));
}

void Manager::start_lifetime(const SessionPtr& session) {
  limit_lifetime(session);
  if (options_.idle_limit.count() > 0) {
    session->idle_timer =
        scheduler_.after(options_.idle_limit, [this, session] { check_idle(session); });
  }
}

/// Holds while live connections are waited for as well.
void Manager::limit_lifetime(const SessionPtr& session) {
  auto lifetime = session->request.lifetime;
  if (options_.max_session.count() > 0 &&
      (lifetime.count() == 0 || lifetime > options_.max_session)) {
    lifetime = options_.max_session;
  }
  if (lifetime.count() > 0) {
    const auto gone = std::chrono::duration_cast<std::chrono::milliseconds>(options_.calendar() -
                                                                            session->ready_since);
    // A calendar that was set makes it neither longer nor negative.
    const auto left = std::clamp(lifetime - gone, std::chrono::milliseconds(0), lifetime);
    session->lifetime_timer = scheduler_.after(left, [this, session] {
      if (session->machine.state() == State::releasing) return cut_now(session);
      expire(session, {Cause::timeout, "the session's lifetime is over"});
    });
  }
}

void Manager::check_idle(const SessionPtr& session) {
  data_server_->status(
      session->request.key, [this, &scheduler = scheduler_, alive = std::weak_ptr(alive_),
                             session](Result<std::vector<dataserver::SessionStatus>> now) {
        scheduler.post([this, alive, session, now = std::move(now)] {
          if (alive.expired() || session->machine.phase() == Phase::ended) return;
          std::chrono::milliseconds idle{0};
          if (now && !now->empty() && now->front().counters.connections_active == 0) {
            idle = now->front().counters.idle;
          }
          if (idle >= options_.idle_limit) {
            return expire(session, {Cause::timeout,
                                    "no connection for " +
                                        std::to_string(options_.idle_limit.count() / 1000) + " s"});
          }
          session->idle_timer = scheduler_.after(options_.idle_limit - idle,
                                                 [this, session] { check_idle(session); });
        });
      });
}

void Manager::release_listeners(const SessionPtr& session) {
  log_->info("session {}: ending: {}", to_string(session->request.key), session->reason.message);
  const bool was_ready = session->machine.was_ready();
  session->cancel_timers();
  if (was_ready && session->ending == dataserver::Ending::drain) limit_lifetime(session);
  // First, so that nobody brings back what is half released.
  const bool was_reserved = session->kept && !session->ports.empty();
  if (const Status kept = was_reserved ? keep(session, Phase::ended) : Status(); !kept) {
    log_->error("session {}: {}", to_string(session->request.key), kept.error().message);
  }
  const Error& reason = session->reason;
  for (RequestWaiter& waiter : std::exchange(session->request_waiters, {})) {
    tickets_.erase(waiter.ticket);
    waiter.done(reason);
  }
  for (HelloWaiter& waiter : std::exchange(session->early_hellos, {})) waiter.done(reason);
  for (HelloWaiter& waiter : std::exchange(session->ready_waiters, {})) waiter.done(reason);
  for (UpdateWaiter& waiter : std::exchange(session->updates, {})) waiter.done(reason);
  // Were both under way at a remote data server, the release could overtake.
  if (session->call_in_flight) {
    session->release_when_idle = true;
  } else {
    call_release(session, 0);
  }
}

void Manager::call_release(const SessionPtr& session, int attempt) {
  const auto generation = data_server_generation_;
  data_server_->release(
      session->request.key, session->ending,
      [this, &scheduler = scheduler_, alive = std::weak_ptr(alive_), session, attempt,
       generation](Result<dataserver::Released> released) {
        scheduler.post([this, alive, session, attempt, generation, released = std::move(released)] {
          if (alive.expired() || session->machine.state() != State::releasing) return;
          const bool same_data_server = attached_ && generation == data_server_generation_;
          // Events, which have them too, may come after the answer.
          if (released && *released && same_data_server) {
            // One that was given back, and nobody heard: its counters began at nothing.
            if ((*released)->reservation != session->reservation) keep_counters(*session);
            session->counters = session->counters_before + (*released)->counters;
          }
          // One that is gone holds nothing any more, or is told when it is back.
          if (released || !same_data_server) {
            (void)apply(session, Input::released);
            return;
          }
          if (attempt == 0) {
            log_->error("session {}: the data server does not release it: {}; trying again",
                        to_string(session->request.key), released.error().message);
          }
          session->phase_timer =
              scheduler_.after(std::min(release_again * (attempt + 1), release_again_at_most),
                               [this, session, attempt] { call_release(session, attempt + 1); });
        });
      });
}

void Manager::end(const SessionPtr& session) {
  const SessionKey key = session->request.key;
  released_.add(key.uid, session->request.owner);
  session->cancel_timers();
  if (session->kept) forget(key, session->request.owner);
  notify(session, SessionEvent::Kind::gone);
  sessions_.erase(key);
  session->targets.reset();
  for (auto& waiter : std::exchange(session->release_waiters, {})) {
    if (--waiter->left == 0) waiter->done({});
  }
  for (Successor& successor : std::exchange(session->successors, {})) {
    tickets_.erase(successor.waiter.ticket);
    on_request(std::move(successor.request), std::move(successor.waiter));
  }
  finish_shut_down();
}

void Manager::notify(const SessionPtr& session, SessionEvent::Kind kind) {
  const SessionKey& key = session->request.key;
  if (kind == SessionEvent::Kind::state) {
    log_->debug("session {}: Current state: {}", to_string(key),
                to_string(session->machine.state()));
  }
  if (observers_.empty()) return;
  const bool ending =
      session->machine.state() == State::releasing || kind == SessionEvent::Kind::gone;
  const SessionEvent event{kind, view(*session), ending ? session->reason.message : session->note};
  for (auto entry = observers_.begin(); entry != observers_.end();) {
    const auto observer = entry->lock();
    if (observer && observer->wants(session->request)) observer->tell(event, scheduler_.now());
    entry = observer ? std::next(entry) : observers_.erase(entry);
  }
}

}  // namespace scistream::session

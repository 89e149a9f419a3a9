// A data server that comes, dies and comes back (PROTOCOL §7, Data servers).
#include <utility>

#include "session/manager.hpp"

namespace scistream::session {

void Manager::attach() {
  const auto generation = ++data_server_generation_;
  data_watch_ = data_server_->watch(
      options_.counters_period, [this, &scheduler = scheduler_, alive = std::weak_ptr(alive_),
                                 generation](const dataserver::Event& event) {
        scheduler.post([this, alive, generation, event] {
          if (!alive.expired() && generation == data_server_generation_) on_data_event(event);
        });
      });
  attached_ = true;
}

void Manager::take_note(const dataserver::Event& event) {
  // Of states and of why they end, answers say the same.
  if (event.detail.empty() || event.status.state == dataserver::State::releasing) return;
  const SessionPtr session = find(event.status.session);
  if (!session || session->reservation != event.status.reservation) return;
  session->note = event.detail;
  log_->warn("session {}: {}", to_string(event.status.session), event.detail);
  notify(session, SessionEvent::Kind::state);
}

void Manager::on_data_event(const dataserver::Event& event) {
  switch (event.kind) {
    case dataserver::Event::Kind::state: return take_note(event);
    case dataserver::Event::Kind::counters:
    case dataserver::Event::Kind::gone: {
      const SessionPtr session = find(event.status.session);
      // Of an earlier session of this id, whose end was answered before it was told of.
      if (!session || session->reservation != event.status.reservation) return;
      session->counters = session->counters_before + event.status.counters;
      if (event.kind == dataserver::Event::Kind::counters) {
        return notify(session, SessionEvent::Kind::counters);
      }
      const State state = session->machine.state();
      // What is asked of it is answered with the reason. An attempt to give it back that failed
      // ends here as well, and is made again.
      const bool is_answered = state == State::releasing || state == State::reserving ||
                               (state == State::updating && session->call_in_flight);
      if (!is_answered && !session->restoring)
        expire(session, {Cause::unavailable, "the data server ended the session"});
      return;
    }
    case dataserver::Event::Kind::lost: return on_data_server_lost(event.detail);
  }
}

void Manager::on_data_server_lost(const std::string& detail) {
  if (!attached_) return;
  attached_ = false;
  lost_since_ = scheduler_.now();
  log_->error("the data server is gone: {}; {} sessions", detail, sessions_.size());
  try_revive();
}

void Manager::try_revive() {
  const auto give_up = [this](const std::string& why) {
    const auto sessions = sessions_;
    for (const auto& [key, session] : sessions) {
      expire(session, {Cause::unavailable, "the data server is gone: " + why});
    }
    // What waits for a data server finds that it is gone, instead of waiting for ever.
    for (auto& work : std::exchange(when_attached_, {})) work();
  };
  if (!revive_) return give_up("nothing restarts it");
  revive_([this, alive = std::weak_ptr(alive_),
           give_up](Result<std::shared_ptr<dataserver::DataServer>> again) {
    scheduler_.post([this, alive, give_up, again = std::move(again)] {
      if (alive.expired()) return;
      if (again) {
        data_server_ = *again;
        attach();
        log_->info("the data server is back; restoring {} sessions", sessions_.size());
        // It may have been silent only, and know nothing of what ended here meanwhile.
        data_server_->status(
            std::nullopt,
            [this, &scheduler = scheduler_, alive, generation = data_server_generation_](
                Result<std::vector<dataserver::SessionStatus>> there) {
              scheduler.post([this, alive, generation, there = std::move(there)] {
                if (alive.expired() || !attached_ || generation != data_server_generation_) return;
                settle(there ? *there : std::vector<dataserver::SessionStatus>{});
              });
            });
        return;
      }
      if (scheduler_.now() - lost_since_ >= options_.restore_window) give_up(again.error().message);
      // Sessions to come need it all the same.
      revive_timer_ = scheduler_.after(std::chrono::milliseconds(200), [this] { try_revive(); });
    });
  });
}

void Manager::settle(const std::vector<dataserver::SessionStatus>& there) {
  const auto left = std::make_shared<std::size_t>(1);
  const auto done = [this, &scheduler = scheduler_, alive = std::weak_ptr(alive_),
                     generation = data_server_generation_, left] {
    scheduler.post([this, alive, generation, left] {
      if (alive.expired() || --*left > 0) return;
      if (attached_ && generation == data_server_generation_) restore_all();
    });
  };
  for (const auto& status : there) {
    const SessionPtr session = find(status.session);
    // One that is being reserved has no targets there; one that has them ended before.
    const bool being_reserved = session && session->ports.empty() && status.targets.empty();
    const bool ours = session && session->reservation == status.reservation;
    if (being_reserved || ours) continue;
    log_->warn("session {}: the data server still has it, and it has ended: ending it there",
               to_string(status.session));
    ++*left;
    data_server_->release(status.session, dataserver::Ending::cut, [done](const auto&) { done(); });
  }
  done();
}

void Manager::restore_all() {
  const auto sessions = sessions_;
  for (const auto& [key, session] : sessions) restore(session);
  for (auto& work : std::exchange(when_attached_, {})) work();
}

void Manager::keep_counters(Session& session) {
  // Connections in it were reset.
  session.counters.errors += session.counters.connections_active;
  session.counters.connections_active = 0;
  session.counters_before = session.counters;
}

void Manager::restore(const SessionPtr& session) {
  const State state = session->machine.state();
  if (session->ports.empty() || state == State::releasing || session->call_in_flight) return;
  session->restore_timer.cancel();
  dataserver::ReserveRequest request = reserve_request(*session);
  request.exact_ports = session->ports;
  session->call_in_flight = true;
  session->restoring = true;
  const auto finish = [this, &scheduler = scheduler_, alive = std::weak_ptr(alive_),
                       session](Status status) {
    scheduler.post([this, alive, session, status = std::move(status)] {
      if (alive.expired()) return;
      session->restoring = false;
      call_came_back(session);
      if (status) {
        // What it counted elsewhere is to survive this process as well.
        if (session->kept && session->counters_before.connections_total > 0)
          (void)keep(session, session->machine.phase());
        on_targets_set(session, {});
        return next_update(session);
      }
      const bool wanted = session->machine.state() != State::releasing;
      if (wanted && scheduler_.now() - lost_since_ < options_.restore_window) {
        // Whoever holds one of its ports may not hold it for long.
        session->restoring = true;
        session->restore_timer = scheduler_.after(std::chrono::milliseconds(200), [this, session] {
          session->restoring = false;
          if (attached_) restore(session);
        });
      } else if (wanted) {
        expire(session, {Cause::unavailable, "the data server could not restore the session: " +
                                                 status.error().message});
      }
    });
  };
  data_server_->reserve(request, [this, &scheduler = scheduler_, alive = std::weak_ptr(alive_),
                                  session, finish](Result<dataserver::Reservation> reservation) {
    if (!reservation) return finish(reservation.error());
    scheduler.post([this, alive, session, finish, id = reservation->id] {
      if (alive.expired()) return;
      // Another one than before: a new data server, whose counters begin at nothing.
      if (id != session->reservation) keep_counters(*session);
      session->reservation = id;
      if (!session->targets) return finish({});
      data_server_->update(update_request(*session), finish);
    });
  });
}

bool Manager::replaced(std::uint64_t generation, const Status& status) {
  if (!revive_) return false;
  const bool is_gone = !status && status.error().cause == Cause::unavailable;
  if (is_gone && generation == data_server_generation_) on_data_server_lost(status.error().message);
  return !attached_ || generation != data_server_generation_;
}

void Manager::when_attached(std::function<void()> work) {
  if (attached_ || !revive_) return work();
  when_attached_.push_back(std::move(work));
}

}  // namespace scistream::session

// What sessions may take of the network (PROTOCOL §7, Rate).
#include <utility>

#include "session/manager.hpp"

namespace scistream::session {

std::uint64_t Manager::to_lease(const Rate& rate) const {
  return rate.is_explicit && leases_.capacity() > 0 ? static_cast<std::uint64_t>(rate.mbps) : 0;
}

dataserver::RateLimit Manager::limit_of(const Session& session) const {
  // What nobody asked for is a limit only where there is something to share.
  const bool binds = session.rate.is_explicit || leases_.capacity() > 0;
  return {binds ? static_cast<std::uint64_t>(session.rate.mbps) : 0, session.rate_is_leased,
          leases_.capacity()};
}

void Manager::set_rate(const std::string& uid, Rate rate, const Principal& by,
                       Callback<RateInForce> done) {
  scheduler_.post([this, alive = std::weak_ptr(alive_), uid, rate, by, done = std::move(done)] {
    if (alive.expired()) return done(shutting_down());
    on_set_rate(uid, rate, by, done);
  });
}

void Manager::on_set_rate(const std::string& uid, Rate rate, const Principal& by,
                          const Callback<RateInForce>& done) {
  if (auto status = check_uid(uid); !status) return done(status.error());
  if (auto status = validate(rate); !status) return done(status.error());
  std::vector<SessionPtr> sessions;
  for (const Role role : {Role::producer, Role::consumer}) {
    const auto session = find({uid, role});
    if (!session || session->machine.state() == State::releasing) continue;
    if (!by.may_see(session->request.owner)) continue;
    if (!by.owns(session->request.owner)) return done(not_theirs(uid));
    sessions.push_back(session);
  }
  if (sessions.empty()) return done(unknown(uid));
  for (const SessionPtr& session : sessions) {
    if (session->ports.empty()) {
      return done(
          Error{Cause::failed_precondition, "session " + to_string(session->request.key) +
                                                " is still being reserved; try again in a moment"});
    }
  }
  RateInForce answer;
  answer.previous = sessions.front()->rate;
  answer.is_leased = to_lease(rate) > 0;
  if (const Status set = set_rates(sessions, rate); !set) return done(set.error());

  // The data server hears of it with the targets: with the next ones, or again with the present.
  struct Pending {
    std::size_t left;
    Status worst;
  };
  const auto pending = std::make_shared<Pending>(Pending{1, {}});
  const auto one_done = [pending, answer, done](const Status& status) {
    if (!status) pending->worst = status;
    if (--pending->left > 0) return;
    if (pending->worst) return done(answer);
    done(pending->worst.error());
  };
  for (const SessionPtr& session : sessions) {
    log_->info("session {}: {} Mbit/s{} from now on", to_string(session->request.key), rate.mbps,
               session->rate_is_leased ? " leased" : "");
    if (!session->targets && session->updates.empty()) continue;
    ++pending->left;
    session->updates.push_back({std::nullopt, [one_done](const Result<UpdateAnswer>& updated) {
                                  one_done(updated ? Status() : updated.error());
                                }});
    if (session->updates.size() == 1) next_update(session);
  }
  one_done({});
}

/// As it was; what the store has of it is set right by whatever is saved next.
void Manager::undo(const SessionPtr& session, const Rate& rate) {
  leases_.resume(session->request.key, session->request.num_conn, to_lease(rate));
  session->rate = rate;
  session->rate_is_leased = to_lease(rate) > 0;
  (void)keep(session, session->machine.phase());
}

/// All of them or none: leases, what is remembered, and the store.
Status Manager::set_rates(const std::vector<SessionPtr>& sessions, const Rate& rate) {
  const auto set = [this](const SessionPtr& session, const Rate& wanted) -> Status {
    const Status leased = leases_.change(session->request.key, to_lease(wanted));
    if (!leased) return leased;
    session->rate = wanted;
    session->rate_is_leased = to_lease(wanted) > 0;
    return keep(session, session->machine.phase());
  };
  std::vector<Rate> before;
  for (const SessionPtr& session : sessions) {
    before.push_back(session->rate);
    const Status done = set(session, rate);
    if (done) continue;
    for (std::size_t i = 0; i < before.size(); ++i) undo(sessions[i], before[i]);
    return done;
  }
  return {};
}

}  // namespace scistream::session

#include "session/manager.hpp"

#include <algorithm>
#include <utility>

namespace scistream::session {

Manager::Manager(Scheduler& scheduler, std::shared_ptr<dataserver::DataServer> data_server,
                 std::shared_ptr<Store> store, ManagerOptions options, Logger log, Revive revive)
    : scheduler_(scheduler),
      data_server_(std::move(data_server)),
      store_(std::move(store)),
      options_(std::move(options)),
      log_(std::move(log)),
      revive_(std::move(revive)),
      leases_(options_.addresses.ports.size(), options_.capacity_mbps),
      released_(scheduler) {
  attach();
}

Manager::~Manager() {
  data_watch_.reset();
  alive_.reset();
  const Error gone = shutting_down();
  for (auto& held : held_hellos_) held.done(gone);
  for (auto& [key, session] : sessions_) {
    session->cancel_timers();
    for (auto& waiter : session->request_waiters) waiter.done(gone);
    for (auto& waiter : session->early_hellos) waiter.done(gone);
    for (auto& waiter : session->ready_waiters) waiter.done(gone);
    for (auto& waiter : session->updates) waiter.done(gone);
    for (auto& successor : std::exchange(session->successors, {})) successor.waiter.done(gone);
    for (auto& waiter : session->release_waiters) {
      if (const auto done = std::exchange(waiter->done, nullptr)) done(gone);
    }
  }
  for (auto& waiter : shut_down_waiters_) waiter(gone);
}

Ticket Manager::request(Request request, const Principal& by, Callback<RequestAnswer> done) {
  const Ticket ticket = next_ticket_++;
  request.owner = by.id;
  scheduler_.post([this, alive = std::weak_ptr(alive_), request = std::move(request),
                   waiter = RequestWaiter{ticket, by.most_sessions, std::move(done)}]() mutable {
    if (alive.expired()) return waiter.done(shutting_down());
    on_request(std::move(request), std::move(waiter));
  });
  return ticket;
}

void Manager::on_request(Request request, RequestWaiter waiter) {
  if (shutting_down_) return waiter.done(shutting_down());
  if (auto status = validate(request); !status) return waiter.done(status.error());
  if (auto status = check_transport(request.transport); !status) return waiter.done(status.error());
  if (request.ports) {
    // What somebody may have is a part of what there is.
    const PortRange all = options_.addresses.ports;
    const PortRange theirs{std::max(all.first, request.ports->first),
                           std::min(all.last, request.ports->last)};
    if (theirs.first > theirs.last) {
      return waiter.done(Error{Cause::permission_denied,
                               "none of this facility's ports is for you; ask its operator"});
    }
    request.ports = theirs;
  }
  if (is_used_by_others(request)) {
    return waiter.done(Error{Cause::already_exists,
                             "the id " + request.key.uid + " is in use; choose another one"});
  }
  const SessionPtr session = find(request.key);
  if (!session) {
    if (auto status = check_sessions_of(request.owner, waiter.most_sessions); !status)
      return waiter.done(status.error());
    return begin(std::move(request), std::move(waiter));
  }

  const SessionKey key = request.key;
  const bool ending = session->machine.state() == State::releasing;
  const bool same = same_values(session->request, request);
  if (!ending && same) return join(session, std::move(waiter));

  // A cut `req` that nobody repeated must not block its id for others.
  const Error exists{Cause::already_exists,
                     "session " + to_string(key) +
                         " exists with other values or other keys; release it first or use "
                         "another id"};
  if (!ending && !session->waits_for_hello()) return waiter.done(exists);
  const Ticket ticket = waiter.ticket;
  tickets_[ticket] = key;
  session->successors.push_back({std::move(request), std::move(waiter), {}});
  if (ending) return;
  if (session->request_waiters.empty()) return make_way(session);
  session->successors.back().verdict =
      scheduler_.after(options_.cancel_grace, [this, session, ticket, exists] {
        if (session->machine.state() != State::releasing) drop_successor(session, ticket, exists);
      });
}

Status Manager::check_transport(const std::string& transport) const {
  const auto& known = options_.transports;
  if (std::find(known.begin(), known.end(), transport) == known.end()) {
    const bool plain = std::find(known.begin(), known.end(), "tcp") != known.end();
    return Error{Cause::failed_precondition,
                 "this facility's data server cannot do transport '" + transport +
                     "' between the facilities; " +
                     (plain ? "--transport tcp streams without encryption"
                            : "use --transport " + known.front())};
  }
  if (options_.require_encryption && transport == "tcp") {
    return Error{Cause::failed_precondition,
                 "this facility refuses sessions that are not encrypted between the facilities; "
                 "use --transport tls"};
  }
  return {};
}

/// One that is ending makes way for anybody.
bool Manager::is_used_by_others(const Request& request) const {
  for (const Role role : {Role::producer, Role::consumer}) {
    const auto session = find({request.key.uid, role});
    if (!session || session->request.owner == request.owner) continue;
    const bool ends_soon =
        session->machine.state() == State::releasing && session->ending == dataserver::Ending::cut;
    if (!ends_soon) return true;
  }
  return false;
}

Status Manager::check_sessions_of(const std::string& owner, std::size_t most) const {
  if (most == SIZE_MAX) return {};
  const auto theirs = static_cast<std::size_t>(
      std::count_if(sessions_.begin(), sessions_.end(),
                    [&](const auto& each) { return each.second->request.owner == owner; }));
  if (theirs < most) return {};
  return Error{Cause::exhausted, "you have " + std::to_string(theirs) +
                                     " sessions here and may have " + std::to_string(most) +
                                     "; release one of them"};
}

void Manager::make_way(const SessionPtr& session) {
  expire(session, {Cause::cancelled, "the client withdrew and asked for other values"});
}

bool Manager::drop_successor(const SessionPtr& session, Ticket ticket, const Error& why) {
  auto& successors = session->successors;
  const auto found = std::find_if(successors.begin(), successors.end(),
                                  [&](const Successor& s) { return s.waiter.ticket == ticket; });
  if (found == successors.end()) return false;
  const auto done = std::move(found->waiter.done);
  successors.erase(found);
  tickets_.erase(ticket);
  done(why);
  return true;
}

void Manager::begin(Request request, RequestWaiter waiter) {
  const SessionKey key = request.key;
  if (auto status = leases_.lease(key, request.num_conn, to_lease(request.rate)); !status) {
    return waiter.done(status.error());
  }
  auto session = std::make_shared<Session>(std::move(request), scheduler_.now());
  session->rate_is_leased = to_lease(session->rate) > 0;
  session->kept = to_forget_.erase(key) > 0;  // what is left there is this one's to forget
  tickets_[waiter.ticket] = key;
  session->request_waiters.push_back(std::move(waiter));
  sessions_[key] = session;
  log_->info("session {}: requested, {} listeners, {} Mbit/s{}", to_string(key),
             session->request.num_conn, session->rate.mbps,
             session->rate_is_leased ? " leased" : "");
  (void)apply(session, Input::request);
  wake_held_hellos(key.uid);
}

void Manager::join(const SessionPtr& session, RequestWaiter waiter) {
  if (!session->waits_for_hello()) {
    return waiter.done(RequestAnswer{session->listeners, session->prod_listeners,
                                     session->machine.state(), session->request.transport,
                                     session->request.protocol, session->request.proxy_protocol});
  }
  session->client_timer.cancel();
  tickets_[waiter.ticket] = session->request.key;
  session->request_waiters.push_back(std::move(waiter));
}

void Manager::withdraw(Ticket ticket) {
  scheduler_.post([this, alive = std::weak_ptr(alive_), ticket] {
    if (!alive.expired()) on_withdraw(ticket);
  });
}

void Manager::on_withdraw(Ticket ticket) {
  const auto found = tickets_.find(ticket);
  if (found == tickets_.end()) {
    std::shared_ptr<PendingRelease> release;
    for (const auto& [key, session] : sessions_) {
      auto& waiters = session->release_waiters;
      const auto waiter = std::find_if(waiters.begin(), waiters.end(),
                                       [&](const auto& w) { return w->ticket == ticket; });
      if (waiter == waiters.end()) continue;
      release = *waiter;
      waiters.erase(waiter);
    }
    if (release) release->done(Error{Cause::cancelled, "the client does not wait any more"});
    return;
  }
  const SessionPtr session = find(found->second);
  tickets_.erase(found);
  if (!session) return;
  const Error cancelled{Cause::cancelled, "the client withdrew its request"};

  auto& waiters = session->request_waiters;
  const auto waiter = std::find_if(waiters.begin(), waiters.end(),
                                   [&](const RequestWaiter& w) { return w.ticket == ticket; });
  if (waiter != waiters.end()) {
    const auto done = std::move(waiter->done);
    waiters.erase(waiter);
    done(cancelled);
    if (!waiters.empty() || !session->waits_for_hello()) return;
    if (!session->successors.empty()) return make_way(session);
    await_client(session);
    return;
  }
  drop_successor(session, ticket, cancelled);
}

void Manager::update(UpdateTargets update, const Principal& by, Callback<UpdateAnswer> done) {
  scheduler_.post([this, alive = std::weak_ptr(alive_), update = std::move(update), by,
                   done = std::move(done)]() mutable {
    if (alive.expired()) return done(shutting_down());
    on_update(std::move(update), by, std::move(done));
  });
}

void Manager::on_update(UpdateTargets update, const Principal& by, Callback<UpdateAnswer> done) {
  if (auto status = check_uid(update.uid); !status) return done(status.error());
  if (update.targets.empty() || update.targets.size() > max_addresses) {
    return done(Error{Cause::invalid_argument,
                      "an update names 1 to " + std::to_string(max_addresses) + " targets, not " +
                          std::to_string(update.targets.size())});
  }
  const auto session = route(update.uid, update.role, update.role_is_binding, false);
  // Both roles of an id belong to the same.
  const auto any = session ? *session : find({update.uid, Role::producer});
  if (any && !by.may_see(any->request.owner)) return done(unknown(update.uid));
  if (!session) return done(session.error());
  if (!by.owns((*session)->request.owner)) return done(not_theirs(update.uid));
  const std::string& requested = (*session)->request.transport;
  if (update.transport != requested) {
    return done(Error{Cause::invalid_argument,
                      "session " + update.uid + " was requested with transport " + requested +
                          ", and its update says '" + update.transport.substr(0, 32) + "'"});
  }
  const std::size_t wanted = requested == "tls" ? key_size : 0;
  if (update.data_key.size() != wanted) {
    return done(Error{Cause::invalid_argument, "the data key of a session with transport " +
                                                   requested + " has " + std::to_string(wanted) +
                                                   " bytes, not " +
                                                   std::to_string(update.data_key.size())});
  }
  auto allowed = allow(update, (*session)->request.key.role, by);
  if (!allowed) return done(allowed.error());
  update.allowed = std::move(*allowed);
  (*session)->updates.push_back({std::move(update), std::move(done)});
  if ((*session)->updates.size() == 1) next_update(*session);
}

/// Names are looked at when they are dialled, as they are resolved then.
Result<net::Destinations> Manager::allow(const UpdateTargets& update, Role role,
                                         const Principal& by) const {
  net::Destinations allowed;
  if (options_.destinations) {
    std::set<std::uint16_t> of_consumers;
    for (const auto& [key, session] : sessions_)
      if (key.role == Role::consumer)
        of_consumers.insert(session->ports.begin(), session->ports.end());
    allowed = options_.destinations(role, of_consumers);
  }
  const bool producer = role == Role::producer;
  if (producer && !by.targets.empty()) allowed.allowed = by.targets;
  for (const Endpoint& target : update.targets) {
    if (allowed.may_permit(target)) continue;
    return Error{Cause::permission_denied,
                 "this facility does not allow connections to " + to_string(target) +
                     "; its operator can (" +
                     (producer ? "s2cs --allow-target" : "s2cs --allow-peer") + ")"};
  }
  return allowed;
}

void Manager::next_update(const SessionPtr& session) {
  if (session->machine.state() == State::updating) return;  // its answer brings on the next
  // While its data server is away an update waits: restoring the session comes first.
  while (!session->updates.empty() && !session->restoring && (attached_ || !revive_)) {
    const auto status = apply(session, Input::update);
    if (status) return;
    auto refused = std::move(session->updates.front());
    session->updates.pop_front();
    refused.done(status.error());
  }
}

Ticket Manager::release(const std::string& uid, const std::string& claim, dataserver::Ending how,
                        const Principal& by, Callback<void> done) {
  const Ticket ticket = next_ticket_++;
  scheduler_.post([this, alive = std::weak_ptr(alive_), uid, claim, how, by, ticket,
                   done = std::move(done)]() mutable {
    if (alive.expired()) return done(shutting_down());
    on_release(uid, claim, how, by, ticket, std::move(done));
  });
  return ticket;
}

void Manager::on_release(const std::string& uid, const std::string& claim, dataserver::Ending how,
                         const Principal& by, Ticket ticket, Callback<void> done) {
  if (auto status = check_uid(uid); !status) return done(status.error());
  std::vector<SessionPtr> both;
  for (const Role role : {Role::producer, Role::consumer}) {
    auto session = find({uid, role});
    if (!session || !by.may_see(session->request.owner)) continue;
    if (!by.may_release(session->request.owner)) return done(not_theirs(uid));
    if (claim.empty() || session->request.claim == claim) both.push_back(std::move(session));
  }
  if (both.empty()) {
    const auto owner = released_.owner(uid);
    if (owner && by.may_see(*owner)) return done({});
    return done(unknown(uid));
  }
  // One answer when the last of them has ended.
  const auto pending =
      std::make_shared<PendingRelease>(PendingRelease{ticket, both.size(), std::move(done)});
  for (const SessionPtr& session : both) session->release_waiters.push_back(pending);
  const Error reason{Cause::cancelled, "the session was released"};
  for (const SessionPtr& session : both) {
    // Requests of others, which wait for this one's end, are not what a claim names.
    std::list<Successor> dropped;
    for (auto successor = session->successors.begin(); successor != session->successors.end();) {
      const auto next = std::next(successor);
      if (claim.empty() || successor->request.claim == claim)
        dropped.splice(dropped.end(), session->successors, successor);
      successor = next;
    }
    for (Successor& successor : dropped) {
      tickets_.erase(successor.waiter.ticket);
      successor.waiter.done(reason);
    }
    if (session->machine.state() != State::releasing) {
      session->ending = how;
      session->drain_is_users = how == dataserver::Ending::drain;
      expire(session, reason, Input::release);
    } else if (how == dataserver::Ending::cut) {
      cut_now(session);
    }
  }
}

void Manager::shut_down(std::chrono::milliseconds drain, Callback<void> done) {
  scheduler_.post([this, alive = std::weak_ptr(alive_), drain, done = std::move(done)]() mutable {
    if (alive.expired()) return done({});
    shut_down_waiters_.push_back(std::move(done));
    const bool first = !std::exchange(shutting_down_, true);
    held_bytes_ = 0;
    for (auto& held : std::exchange(held_hellos_, {})) held.done(shutting_down());
    if (drain.count() == 0) return drain_over();
    if (first) drain_timer_ = scheduler_.after(drain, [this] { drain_over(); });
    const auto sessions = sessions_;
    for (const auto& [key, session] : sessions) {
      if (session->machine.state() == State::releasing) continue;
      session->ending = dataserver::Ending::drain;
      expire(session, shutting_down());
    }
    finish_shut_down();
  });
}

void Manager::drain_over() {
  const auto sessions = sessions_;
  for (const auto& [key, session] : sessions) {
    if (session->machine.state() != State::releasing) {
      session->ending = dataserver::Ending::cut;
      expire(session, shutting_down());
    } else {
      cut_now(session);
    }
  }
  finish_shut_down();
}

void Manager::finish_shut_down() {
  if (!shutting_down_ || !sessions_.empty()) return;
  drain_timer_.cancel();
  for (auto& waiter : std::exchange(shut_down_waiters_, {})) waiter({});
}

Manager::SessionPtr Manager::find(const SessionKey& key) const {
  const auto found = sessions_.find(key);
  return found == sessions_.end() ? nullptr : found->second;
}

}  // namespace scistream::session

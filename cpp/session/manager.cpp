#include "session/manager.hpp"

#include <algorithm>
#include <utility>

#include "session/observer.hpp"

namespace scistream::session {

namespace {

bool waits_for_hello(const Session& session) {
  return session.machine.phase() == Phase::reserving || session.machine.phase() == Phase::hello;
}

Error shutting_down() { return {Cause::unavailable, "the control server is shutting down"}; }

}  // namespace

Manager::Manager(Scheduler& scheduler, std::shared_ptr<dataserver::DataServer> data_server,
                 ManagerOptions options, Logger log, Revive revive)
    : scheduler_(scheduler),
      data_server_(std::move(data_server)),
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
    for (auto& waiter : session->release_waiters) waiter(gone);
  }
  for (auto& waiter : shut_down_waiters_) waiter(gone);
}

Ticket Manager::request(Request request, Callback<RequestAnswer> done) {
  const Ticket ticket = next_ticket_++;
  scheduler_.post([this, alive = std::weak_ptr(alive_), request = std::move(request),
                   waiter = RequestWaiter{ticket, std::move(done)}]() mutable {
    if (alive.expired()) return waiter.done(shutting_down());
    on_request(std::move(request), std::move(waiter));
  });
  return ticket;
}

void Manager::on_request(Request request, RequestWaiter waiter) {
  if (shutting_down_) return waiter.done(shutting_down());
  if (auto status = validate(request); !status) return waiter.done(status.error());
  const SessionPtr session = find(request.key);
  if (!session) return begin(std::move(request), std::move(waiter));

  const SessionKey key = request.key;
  const bool ending = session->machine.state() == State::releasing;
  const bool same = same_values(session->request, request);
  if (!ending && same) return join(session, std::move(waiter));

  // A cut `req` that nobody repeated must not block its id for others.
  const Error exists{Cause::already_exists,
                     "session " + to_string(key) +
                         " exists with other values; release it first or use another id"};
  if (!ending && !waits_for_hello(*session)) return waiter.done(exists);
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
  const bool lease_rate =
      request.rate_is_explicit && request.rate_mbps > 0 && leases_.capacity() > 0;
  const auto mbps = lease_rate ? static_cast<std::uint64_t>(request.rate_mbps) : 0;
  if (auto status = leases_.lease(key, request.num_conn, mbps); !status) {
    return waiter.done(status.error());
  }
  auto session = std::make_shared<Session>(std::move(request), scheduler_.now());
  session->rate_is_leased = lease_rate;
  tickets_[waiter.ticket] = key;
  session->request_waiters.push_back(std::move(waiter));
  sessions_[key] = session;
  log_->info("session {}: requested, {} listeners, {} Mbit/s{}", to_string(key),
             session->request.num_conn, session->request.rate_mbps, lease_rate ? " leased" : "");
  (void)apply(session, Input::request);
  wake_held_hellos(key.uid);
}

void Manager::join(const SessionPtr& session, RequestWaiter waiter) {
  if (!waits_for_hello(*session)) {
    return waiter.done(
        RequestAnswer{session->listeners, session->prod_listeners, session->machine.state()});
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
  if (found == tickets_.end()) return;
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
    if (!waiters.empty() || !waits_for_hello(*session)) return;
    if (!session->successors.empty()) return make_way(session);
    session->client_timer = scheduler_.after(options_.client_loss, [this, session] {
      expire(session, {Cause::cancelled, "the client's request was cut and not repeated"});
    });
    return;
  }
  drop_successor(session, ticket, cancelled);
}

void Manager::hello(Hello hello, Callback<HelloAnswer> done) {
  scheduler_.post([this, alive = std::weak_ptr(alive_), hello = std::move(hello),
                   done = std::move(done)]() mutable {
    if (alive.expired()) return done(shutting_down());
    on_hello(std::move(hello), std::move(done));
  });
}

void Manager::on_hello(Hello hello, Callback<HelloAnswer> done) {
  if (auto status = check_uid(hello.uid); !status) return done(status.error());
  if (hello.prod_listeners.size() > max_addresses) {
    return done(
        Error{Cause::invalid_argument, "hello with " + std::to_string(hello.prod_listeners.size()) +
                                           " addresses; at most " + std::to_string(max_addresses)});
  }
  for (const std::string& listener : hello.prod_listeners) {
    if (const auto endpoint = parse_endpoint(listener); !endpoint) return done(endpoint.error());
  }
  const auto session = route(hello.uid, hello.role, hello.role_is_binding, true);
  if (session) return deliver_hello(*session, std::move(hello), std::move(done));
  if (session.error().cause == Cause::not_found) return hold(std::move(hello), std::move(done));
  done(session.error());
}

void Manager::hold(Hello hello, Callback<HelloAnswer> done) {
  if (shutting_down_) return done(shutting_down());
  const Error unknown{Cause::not_found,
                      "no session with the id " + hello.uid +
                          " is waiting here; was it requested, and has it expired?"};
  if (held_hellos_.size() >= options_.most_held_hellos) return done(unknown);
  held_hellos_.push_back({std::move(hello), std::move(done), {}});
  const auto held = std::prev(held_hellos_.end());
  held->timer = scheduler_.after(options_.hello_hold, [this, held, unknown] {
    const auto answer = std::move(held->done);
    held_hellos_.erase(held);
    answer(unknown);
  });
}

void Manager::wake_held_hellos(const std::string& uid) {
  for (auto held = held_hellos_.begin(); held != held_hellos_.end();) {
    const auto session = held->hello.uid == uid
                             ? route(uid, held->hello.role, held->hello.role_is_binding, true)
                             : Result<SessionPtr>(Error{});
    if (!session) {
      ++held;
      continue;
    }
    Hello hello = std::move(held->hello);
    auto done = std::move(held->done);
    held = held_hellos_.erase(held);
    deliver_hello(*session, std::move(hello), std::move(done));
  }
}

void Manager::deliver_hello(const SessionPtr& session, Hello hello, Callback<HelloAnswer> done) {
  const Request& request = session->request;
  const bool producer = request.key.role == Role::producer;
  if (!request.app_key.empty()) {
    const std::string expected = hello_proof(
        request.app_key, hello.uid, to_string(request.key.role), hello.prod_listeners, hello.nonce);
    if (hello.nonce.size() < 16 || hello.nonce.size() > 64 ||
        !equal_in_constant_time(expected, hello.proof)) {
      log_->warn("session {}: a hello without a valid application key was refused",
                 to_string(request.key));
      return done(
          Error{Cause::unauthenticated, "session " + hello.uid +
                                            " asks for its application key; give the key file "
                                            "that the request wrote for this facility"});
    }
    if (!session->nonces.insert(hello.nonce).second) {
      return done(Error{Cause::unauthenticated, "this hello was seen before"});
    }
  }
  if (producer && hello.prod_listeners.empty()) {
    return done(Error{Cause::invalid_argument,
                      "a producer's hello names at least one address its application listens on"});
  }
  if (session->early_hellos.size() + session->ready_waiters.size() >= options_.most_held_hellos) {
    return done(Error{Cause::exhausted, "too many hellos wait for session " + hello.uid});
  }
  if (session->machine.state() == State::reserving) {
    session->early_hellos.push_back({std::move(hello), std::move(done)});
    return;
  }
  const bool repeated =
      session->machine.phase() == Phase::update || session->machine.phase() == Phase::ready;
  if (repeated && producer && hello.prod_listeners != session->prod_listeners) {
    return done(
        Error{Cause::already_exists, "session " + hello.uid +
                                         " has its producer application at other addresses; "
                                         "release it and request again"});
  }
  if (!repeated && producer) session->prod_listeners = hello.prod_listeners;
  if (auto status = apply(session, Input::hello); !status) return done(status.error());
  if (hello.wait_ready && session->machine.phase() != Phase::ready) {
    session->ready_waiters.push_back({std::move(hello), std::move(done)});
    return;
  }
  done(HelloAnswer{"Hello received", session->listeners});
}

void Manager::update(UpdateTargets update, Callback<UpdateAnswer> done) {
  scheduler_.post([this, alive = std::weak_ptr(alive_), update = std::move(update),
                   done = std::move(done)]() mutable {
    if (alive.expired()) return done(shutting_down());
    on_update(std::move(update), std::move(done));
  });
}

void Manager::on_update(UpdateTargets update, Callback<UpdateAnswer> done) {
  if (auto status = check_uid(update.uid); !status) return done(status.error());
  if (update.targets.empty() || update.targets.size() > max_addresses) {
    return done(Error{Cause::invalid_argument,
                      "an update names 1 to " + std::to_string(max_addresses) + " targets, not " +
                          std::to_string(update.targets.size())});
  }
  if (!update.data_key.empty() && update.data_key.size() != key_size) {
    return done(
        Error{Cause::invalid_argument, "a data key has " + std::to_string(key_size) + " bytes"});
  }
  const auto session = route(update.uid, update.role, update.role_is_binding, false);
  if (!session) return done(session.error());
  (*session)->updates.push_back({std::move(update), std::move(done)});
  if ((*session)->updates.size() == 1) next_update(*session);
}

void Manager::next_update(const SessionPtr& session) {
  while (!session->updates.empty() && !session->restoring) {
    const auto status = apply(session, Input::update);
    if (status) return;
    auto refused = std::move(session->updates.front());
    session->updates.pop_front();
    refused.done(status.error());
  }
}

void Manager::release(const std::string& uid, const std::string& claim, Callback<void> done) {
  scheduler_.post(
      [this, alive = std::weak_ptr(alive_), uid, claim, done = std::move(done)]() mutable {
        if (alive.expired()) return done(shutting_down());
        on_release(uid, claim, std::move(done));
      });
}

void Manager::on_release(const std::string& uid, const std::string& claim, Callback<void> done) {
  if (auto status = check_uid(uid); !status) return done(status.error());
  std::vector<SessionPtr> both;
  for (const Role role : {Role::producer, Role::consumer}) {
    auto session = find({uid, role});
    if (session && (claim.empty() || session->request.claim == claim))
      both.push_back(std::move(session));
  }
  if (both.empty()) {
    if (released_.contains(uid)) return done({});
    return done(Error{Cause::not_found, "no session has the id " + uid});
  }
  // One answer when the last of them has ended.
  auto left = std::make_shared<std::size_t>(both.size());
  for (const SessionPtr& session : both) {
    session->release_waiters.emplace_back([left, done](const Status& status) {
      if (--*left == 0) done(status);
    });
  }
  const Error reason{Cause::cancelled, "the session was released"};
  for (const SessionPtr& session : both) {
    for (auto& successor : std::exchange(session->successors, {})) {
      tickets_.erase(successor.waiter.ticket);
      successor.waiter.done(reason);
    }
    if (session->machine.state() != State::releasing) expire(session, reason, Input::release);
  }
}

void Manager::list(std::vector<std::string> uids, Callback<std::vector<SessionView>> done) {
  scheduler_.post([this, alive = std::weak_ptr(alive_), uids = std::move(uids),
                   done = std::move(done)]() mutable {
    if (alive.expired()) return done(shutting_down());
    // Fresh counters where the data server answers, else those heard of last.
    data_server_->status(
        std::nullopt, [this, &scheduler = scheduler_, alive, uids = std::move(uids),
                       done = std::move(done)](Result<std::vector<dataserver::SessionStatus>> now) {
          scheduler.post([this, alive, uids, done, now = std::move(now)] {
            if (alive.expired()) return done(shutting_down());
            if (now) {
              for (const auto& status : *now) {
                if (const auto session = find(status.session)) session->counters = status.counters;
              }
            }
            std::vector<SessionView> views;
            for (const std::string& uid : uids) {
              for (const Role role : {Role::producer, Role::consumer}) {
                if (const auto session = find({uid, role})) views.push_back(view(*session));
              }
            }
            done(std::move(views));
          });
        });
  });
}

void Manager::capacity(Callback<Capacity> done) {
  scheduler_.post([this, alive = std::weak_ptr(alive_), done = std::move(done)] {
    if (alive.expired()) return done(shutting_down());
    done(Capacity{leases_.ports_total(), leases_.ports_free(), leases_.capacity(),
                  leases_.capacity_free(), sessions_.size()});
  });
}

std::shared_ptr<void> Manager::watch(std::vector<std::string> uids,
                                     std::chrono::milliseconds period, Observe observe) {
  auto observer = std::make_shared<Observer>(std::move(uids), period, std::move(observe));
  scheduler_.post([this, alive = std::weak_ptr(alive_), weak = std::weak_ptr(observer)] {
    const auto present = weak.lock();
    if (alive.expired() || !present) return;
    observers_.push_back(weak);
    for (const auto& [key, session] : sessions_) {
      if (present->wants(key.uid)) {
        present->tell({SessionEvent::Kind::state, view(*session), ""}, scheduler_.now());
      }
    }
  });
  return observer;
}

void Manager::shut_down(std::chrono::milliseconds drain, Callback<void> done) {
  scheduler_.post([this, alive = std::weak_ptr(alive_), drain, done = std::move(done)]() mutable {
    if (alive.expired()) return done({});
    shut_down_waiters_.push_back(std::move(done));
    const bool first = !std::exchange(shutting_down_, true);
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
    const bool draining = session->ending == dataserver::Ending::drain;
    session->ending = dataserver::Ending::cut;
    if (session->machine.state() != State::releasing) {
      expire(session, shutting_down());
    } else if (draining && !session->call_in_flight) {
      call_release(session, 0);
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

Result<Manager::SessionPtr> Manager::route(const std::string& uid, std::optional<Role> role,
                                           bool binding, bool is_hello) const {
  const auto live = [this, &uid](Role side) {
    auto session = find({uid, side});
    return session && session->machine.state() != State::releasing ? session : nullptr;
  };
  const SessionPtr producer = live(Role::producer);
  const SessionPtr consumer = live(Role::consumer);
  const Error unknown{Cause::not_found, "no session has the id " + uid};
  const SessionPtr named = !role ? nullptr : *role == Role::producer ? producer : consumer;
  if (binding && role) return named ? Result(named) : unknown;
  if (!producer && !consumer) return unknown;
  if (!producer) return consumer;
  if (!consumer) return producer;
  if (is_hello && waits_for_hello(*producer) != waits_for_hello(*consumer)) {
    return waits_for_hello(*producer) ? producer : consumer;
  }
  if (named) return named;
  // A 1.0.0 client names no role in its update: it can only mean the session that waits for one.
  const bool producer_waits = producer->machine.phase() == Phase::update;
  if (!is_hello && producer_waits != (consumer->machine.phase() == Phase::update)) {
    return producer_waits ? producer : consumer;
  }
  return Error{Cause::invalid_argument,
               "both roles of session " + uid + " live here; say which, PROD or CONS"};
}

SessionView Manager::view(const Session& session) const {
  SessionView view;
  view.key = session.request.key;
  view.state = session.machine.state();
  view.phase = session.machine.phase();
  view.listeners = session.listeners;
  if (session.targets) {
    const auto& targets = session.targets->targets;
    for (std::size_t i = 0; i < session.ports.size(); ++i) {
      view.targets.push_back(to_string(targets[i % targets.size()]));
    }
    view.transport = session.targets->transport;
  } else {
    view.transport = session.request.transport;
  }
  view.protection = "none";  // of the one transport there is, tcp
  view.num_conn = session.request.num_conn;
  view.rate_mbps = session.request.rate_mbps;
  view.rate_is_leased = session.rate_is_leased;
  view.labels = session.request.labels;
  view.age = std::chrono::duration_cast<std::chrono::milliseconds>(scheduler_.now() - session.born);
  view.counters = session.counters;
  return view;
}

}  // namespace scistream::session

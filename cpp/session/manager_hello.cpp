// Whom a hello is for, and those that come before their req.
#include <utility>

#include "net/destinations.hpp"
#include "session/manager.hpp"

namespace scistream::session {

namespace {

/// About what it takes of the memory.
std::size_t size_of(const Hello& hello) {
  std::size_t bytes = sizeof(Hello) + hello.uid.size() + hello.nonce.size() + hello.proof.size();
  for (const std::string& listener : hello.prod_listeners)
    bytes += sizeof(std::string) + listener.size();
  return bytes;
}

}  // namespace

void Manager::hello(Hello hello, const Principal& by, Callback<HelloAnswer> done) {
  scheduler_.post([this, alive = std::weak_ptr(alive_),
                   waiter = HelloWaiter{std::move(hello), by, std::move(done)}]() mutable {
    if (alive.expired()) return waiter.done(shutting_down());
    on_hello(std::move(waiter));
  });
}

void Manager::on_hello(HelloWaiter waiter) {
  const Hello& hello = waiter.hello;
  const auto& done = waiter.done;
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
  if (session) return deliver_hello(*session, std::move(waiter));
  // What is ambiguous is no secret to those who may see both.
  if (session.error().cause == Cause::not_found || !waiter.by.sees) return hold(std::move(waiter));
  done(session.error());
}

void Manager::hold(HelloWaiter waiter) {
  if (shutting_down_) return waiter.done(shutting_down());
  // Nobody learns from it whether there is a session that is not theirs.
  const bool is_known = !waiter.by.id.empty() || waiter.by.sees;
  const Error refusal =
      is_known
          ? Error{Cause::not_found, "no session with the id " + waiter.hello.uid +
                                        " is waiting here; was it requested, and has it expired?"}
          : Error{Cause::unauthenticated,
                  "no session waits here for this hello: show an access token of its user, or "
                  "its application key (the key file that the request wrote for this "
                  "facility)"};
  // Those of strangers leave room.
  const std::size_t most = is_known ? options_.most_held_hellos : options_.most_held_hellos / 2;
  const std::size_t bytes = size_of(waiter.hello);
  const std::size_t most_bytes = is_known ? options_.most_held_bytes : options_.most_held_bytes / 2;
  if (held_hellos_.size() >= most || held_bytes_ + bytes > most_bytes) return waiter.done(refusal);
  // Nor does one address take the room of all strangers.
  const std::string from = net::owned_by_peer(waiter.hello.caller_host);
  if (!is_known) {
    constexpr std::size_t shares = 4;
    std::size_t theirs = 1;
    std::size_t their_bytes = bytes;
    for (const HeldHello& each : held_hellos_) {
      if (each.stranger != from) continue;
      ++theirs;
      their_bytes += each.bytes;
    }
    if (theirs * shares > most || their_bytes * shares > most_bytes) return waiter.done(refusal);
  }
  held_bytes_ += bytes;
  held_hellos_.push_back({std::move(waiter.hello),
                          std::move(waiter.by),
                          std::move(waiter.done),
                          bytes,
                          is_known ? std::string() : from,
                          {}});
  const auto held = std::prev(held_hellos_.end());
  held->timer = scheduler_.after(options_.hello_hold, [this, held, refusal] {
    const auto answer = std::move(held->done);
    held_bytes_ -= held->bytes;
    held_hellos_.erase(held);
    answer(refusal);
  });
}

void Manager::wake_held_hellos(const std::string& uid) {
  // One that is not for this session is held anew.
  std::list<HeldHello> woken;
  for (auto held = held_hellos_.begin(); held != held_hellos_.end();) {
    const auto next = std::next(held);
    if (held->hello.uid == uid) woken.splice(woken.end(), held_hellos_, held);
    held = next;
  }
  for (HeldHello& held : woken) {
    held.timer.cancel();
    held_bytes_ -= held.bytes;
    on_hello({std::move(held.hello), std::move(held.by), std::move(held.done)});
  }
}

Status Manager::accept(const SessionPtr& session, const HelloWaiter& waiter) {
  const Request& request = session->request;
  const Hello& hello = waiter.hello;
  if (request.app_key.empty()) {
    return waiter.by.owns(request.owner) ? Status() : unknown(hello.uid);
  }
  {
    const std::string expected = hello_proof(
        request.app_key, hello.uid, to_string(request.key.role), hello.prod_listeners, hello.nonce);
    if (hello.nonce.size() < 16 || hello.nonce.size() > 64 ||
        !equal_in_constant_time(expected, hello.proof)) {
      log_->warn("session {}: a hello without a valid application key was refused",
                 to_string(request.key));
      if (!waiter.by.may_see(request.owner)) return unknown(hello.uid);
      return Error{Cause::unauthenticated,
                   "session " + hello.uid +
                       (hello.proof.empty() ? " asks for its application key; give the key file "
                                              "that the request wrote for this facility"
                                            : " has another application key; give the key file "
                                              "that the request wrote for this facility")};
    }
    if (!session->nonces.insert(hello.nonce).second)
      return Error{Cause::unauthenticated, "this hello was seen before"};
  }
  return {};
}

void Manager::deliver_hello(const SessionPtr& session, HelloWaiter waiter) {
  if (const Status accepted = accept(session, waiter); !accepted) {
    if (accepted.error().cause == Cause::not_found) return hold(std::move(waiter));
    return waiter.done(accepted.error());
  }
  const Hello& hello = waiter.hello;
  const auto& done = waiter.done;
  const Request& request = session->request;
  const bool producer = request.key.role == Role::producer;
  if (producer && hello.prod_listeners.empty()) {
    return done(Error{Cause::invalid_argument,
                      "a producer's hello names at least one address its application listens on"});
  }
  if (session->early_hellos.size() + session->ready_waiters.size() >= options_.most_held_hellos) {
    return done(Error{Cause::exhausted, "too many hellos wait for session " + hello.uid});
  }
  if (session->machine.state() == State::reserving) {
    session->early_hellos.push_back(std::move(waiter));
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
  const auto before = session->prod_listeners;
  if (!repeated && producer) session->prod_listeners = hello.prod_listeners;
  // A repeated one brings nothing new but its nonce.
  if (!repeated || !request.app_key.empty()) {
    const Phase phase = repeated ? session->machine.phase() : Phase::update;
    if (const Status kept = keep(session, phase); !kept) {
      session->prod_listeners = before;
      session->nonces.erase(hello.nonce);
      return done(kept.error());
    }
  }
  if (auto status = apply(session, Input::hello); !status) return done(status.error());
  if (hello.wait_ready && session->machine.phase() != Phase::ready) {
    session->ready_waiters.push_back(std::move(waiter));
    return;
  }
  done(HelloAnswer{"Hello received", session->listeners});
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
  if (is_hello && producer->waits_for_hello() != consumer->waits_for_hello()) {
    return producer->waits_for_hello() ? producer : consumer;
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

}  // namespace scistream::session

#include "dataserver/sessions.hpp"

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/text.hpp"

namespace scistream::dataserver {

namespace {

/// So that no two data servers give the same id to their reservations.
std::uint64_t random_start() {
  std::uint64_t start = 0;
  const Secret random = Secret::random(6);
  for (const std::uint8_t byte : random.bytes()) start = start << 8U | byte;
  return start << 15U;
}

Error ending() { return {Cause::unavailable, "the data server is ending"}; }

Error being_released(const SessionKey& key) {
  return {Cause::cancelled, "session " + to_string(key) + " is being released"};
}

Error no_session(const SessionKey& key) {
  return {Cause::not_found, "the data server has no session " + to_string(key)};
}

Status check(const ReserveRequest& request) {
  const auto refuse = [&](const std::string& why) -> Status {
    return Error{Cause::invalid_argument, "session " + to_string(request.session) + ": " + why};
  };
  if (Status uid = check_uid(request.session.uid); !uid) return uid;
  if (request.num_conn < 1 || request.num_conn > max_num_conn) {
    return refuse("num_conn " + std::to_string(request.num_conn) + " is not from 1 to " +
                  std::to_string(max_num_conn));
  }
  if (!request.exact_ports.empty()) {
    const auto count = static_cast<int>(request.exact_ports.size());
    if (count == request.num_conn) return {};
    return refuse(std::to_string(count) + " exact ports for " + std::to_string(request.num_conn) +
                  " listeners");
  }
  if (request.ports.first == 0 || request.ports.last < request.ports.first) {
    return refuse("port range " + to_string(request.ports) + " is empty");
  }
  return {};
}

Status check(const UpdateRequest& request, const std::vector<std::string>& transports) {
  const auto refuse = [&](const std::string& why) -> Status {
    return Error{Cause::invalid_argument, "session " + to_string(request.session) + ": " + why};
  };
  if (request.targets.empty()) return refuse("the list of targets is empty");
  if (std::find(transports.begin(), transports.end(), request.transport) == transports.end()) {
    return refuse("transport '" + request.transport + "' is not one of: " + listed(transports));
  }
  if (request.transport == transport::tls && request.data_key.size() != key_size)
    return refuse("transport tls needs a data key of " + std::to_string(key_size) + " bytes");
  return {};
}

}  // namespace

Sessions::Sessions(boost::asio::io_context& bookkeeping, std::unique_ptr<Forwarding> forwarding,
                   Logger log)
    : bookkeeping_(bookkeeping),
      forwarding_(std::move(forwarding)),
      log_(std::move(log)),
      last_reservation_(random_start()),
      watchers_(bookkeeping, [this] { return describe_all(); }) {}

void Sessions::info(const Callback<Info>& done) {
  if (shut_down_) return done(ending());
  Info info = forwarding_->info();
  info.sessions = sessions_.size();
  done(std::move(info));
}

void Sessions::reserve(const ReserveRequest& request, Callback<Reservation> done) {
  if (shut_down_) return done(ending());
  if (const Status valid = check(request); !valid) return done(valid.error());

  const auto [place, fresh] = sessions_.try_emplace(request.session);
  Entry& entry = *place;
  Session& session = entry.second;
  const State state = session.machine.state();
  if (!fresh && (state == State::idle || state == State::reserving)) {
    if (session.num_conn != request.num_conn) {
      return done(Error{Cause::already_exists, "session " + to_string(request.session) + " has " +
                                                   std::to_string(session.num_conn) +
                                                   " listeners, not " +
                                                   std::to_string(request.num_conn)});
    }
    if (state == State::idle)
      return done(Reservation{session.reservation, session.forwarder->ports()});
    session.reserving.push_back(std::move(done));
    return;
  }
  if (const Status taken = session.machine.apply(Input::reserve); !taken)
    return done(taken.error());
  session.reservation = ++last_reservation_;
  session.num_conn = request.num_conn;
  session.reserving.push_back(std::move(done));
  announce(entry, {});
  start_reserve(entry, request);
}

void Sessions::start_reserve(Entry& entry, const ReserveRequest& request) {
  const auto news = [this, key = entry.first,
                     reservation = entry.second.reservation](const std::string& detail) {
    boost::asio::post(bookkeeping_, [this, key, reservation, detail] {
      if (const Entry* known = find(key, reservation)) announce(*known, detail);
    });
  };
  forwarding_->reserve(request, news, [this, key = entry.first](auto forwarder) {
    boost::asio::dispatch(bookkeeping_, [this, key, forwarder = std::move(forwarder)]() mutable {
      reserved(key, std::move(forwarder));
    });
  });
}

/// The session is still there: it is not forgotten before this.
void Sessions::reserved(const SessionKey& key, Result<std::unique_ptr<Forwarder>> forwarder) {
  Entry& entry = *sessions_.find(key);
  Session& session = entry.second;
  const auto waiting = std::exchange(session.reserving, {});
  const auto answer = [&waiting](const Result<Reservation>& result) {
    for (const auto& done : waiting) done(result);
  };
  if (forwarder) session.forwarder = std::move(*forwarder);
  if (session.machine.state() == State::releasing) {
    finish_release(entry, Ending::cut);
    return answer(being_released(key));
  }
  if (!forwarder) {
    const Error& why = forwarder.error();
    log_->warn("session {}: {}", to_string(key), why.message);
    start_release(entry, Ending::cut, why.message);
    return answer(why);
  }
  apply(entry, Input::reserved);
  auto ports = session.forwarder->ports();
  log_->info("session {}: {} listeners reserved", to_string(key), ports.size());
  answer(Reservation{session.reservation, std::move(ports)});
}

void Sessions::update(const UpdateRequest& request, Callback<void> done) {
  if (shut_down_) return done(ending());
  if (const Status valid = check(request, forwarding_->info().transports); !valid)
    return done(valid);
  const auto found = sessions_.find(request.session);
  if (found == sessions_.end()) return done(no_session(request.session));
  Entry& entry = *found;
  const auto& forwarder = entry.second.forwarder;
  if (Status able = forwarder ? forwarder->check(request) : Status(); !able) return done(able);
  std::vector<Update>& updates = entry.second.updates;
  if (updates.empty()) {
    if (const Status taken = entry.second.machine.apply(Input::update); !taken) return done(taken);
    announce(entry, {});
  }
  updates.push_back({request, std::move(done)});
  if (updates.size() == 1) start_update(entry);
}

void Sessions::start_update(Entry& entry) {
  auto& [key, session] = entry;
  session.forwarder->update(
      session.updates.front().request,
      [this, key = key, reservation = session.reservation](const Status& result) {
        boost::asio::dispatch(
            bookkeeping_, [this, key, reservation, result] { updated(key, reservation, result); });
      });
}

void Sessions::updated(const SessionKey& key, std::uint64_t reservation, const Status& result) {
  Entry* const entry = find(key, reservation);
  // Who is releasing has answered the updates, and forgotten them.
  if (entry == nullptr || entry->second.updates.empty()) return;
  Session& session = entry->second;
  const Update update = std::move(session.updates.front());
  session.updates.erase(session.updates.begin());
  if (!result) {
    const Error& why = result.error();
    log_->error("session {}: {}", to_string(key), why.message);
    start_release(*entry, Ending::cut, why.message);
    return update.done(why);
  }
  session.targets = update.request.targets;
  session.transport = update.request.transport;
  log_->info("session {}: forwarding to {}", to_string(key), to_string(session.targets));
  if (session.updates.empty()) {
    apply(*entry, Input::updated);
  } else {
    start_update(*entry);
  }
  update.done({});
}

Sessions::Entry* Sessions::find(const SessionKey& key, std::uint64_t reservation) {
  const auto found = sessions_.find(key);
  return found == sessions_.end() || found->second.reservation != reservation ? nullptr : &*found;
}

void Sessions::release(const SessionKey& key, Ending how, Callback<Released> done) {
  if (shut_down_) return done(ending());
  const auto found = sessions_.find(key);
  if (found == sessions_.end()) return done(Released());
  found->second.releasing.push_back(std::move(done));
  start_release(*found, how, {});
}

/// Repeated, it only turns a drain into a cut.
void Sessions::start_release(Entry& entry, Ending how, const std::string& why) {
  const SessionKey key = entry.first;
  Session& session = entry.second;
  const bool again = session.machine.state() == State::releasing;
  if (again && how == Ending::drain) return;
  if (!again) apply(entry, Input::release, why);
  for (const Update& update : std::exchange(session.updates, {})) update.done(being_released(key));
  // What is being reserved ends when that has come to its end.
  if (!session.reserving.empty()) return;
  if (again) {
    // The end comes once: a cut that follows a drain brings the drain's forward.
    session.forwarder->end(how, {});
  } else {
    finish_release(entry, how);
  }
}

void Sessions::finish_release(Entry& entry, Ending how) {
  const SessionKey key = entry.first;
  if (!entry.second.forwarder) return released(key);
  entry.second.forwarder->end(
      how, [this, key] { boost::asio::post(bookkeeping_, [this, key] { released(key); }); });
}

void Sessions::released(const SessionKey& key) {
  const auto found = sessions_.find(key);
  if (found == sessions_.end() || !found->second.machine.apply(Input::released)) return;
  const SessionStatus last = describe(*found, false);
  const std::vector<Callback<Released>> waiting = std::move(found->second.releasing);
  sessions_.erase(found);
  log_->info("session {}: released, {} bytes to the consumer, {} to the producer", to_string(key),
             last.counters.bytes_to_consumer, last.counters.bytes_to_producer);
  log_->debug("session {}: Current state: {}", to_string(key), to_string(State::idle));
  watchers_.send({Event::Kind::gone, last, {}});
  for (const auto& done : waiting) {
    if (shut_down_) {
      done(Error{Cause::cancelled,
                 "the data server is ending: session " + to_string(key) + " was cut"});
    } else {
      done(Released(last));
    }
  }
  if (shut_down_ && sessions_.empty()) shut_down({});
}

void Sessions::apply(Entry& entry, Input input, const std::string& detail) {
  if (const Status taken = entry.second.machine.apply(input); !taken) {
    log_->critical("session {}: {}", to_string(entry.first), taken.error().message);
    return;
  }
  announce(entry, detail);
}

void Sessions::announce(const Entry& entry, const std::string& detail) {
  log_->debug("session {}: Current state: {}", to_string(entry.first),
              to_string(entry.second.machine.state()));
  watchers_.send({Event::Kind::state, describe(entry, false), detail});
}

void Sessions::status(const std::optional<SessionKey>& key,
                      Callback<std::vector<SessionStatus>> done) {
  if (shut_down_) return done(ending());
  if (!key) return done(describe_all());
  const auto found = sessions_.find(*key);
  if (found == sessions_.end()) return done(no_session(*key));
  if (!found->second.forwarder) return done(std::vector{describe(*found, true)});
  found->second.forwarder->refresh(
      [this, key = *key, reservation = found->second.reservation, done = std::move(done)] {
        boost::asio::dispatch(bookkeeping_, [this, key, reservation, done] {
          const Entry* const entry = find(key, reservation);
          if (entry == nullptr) return done(no_session(key));
          done(std::vector{describe(*entry, true)});
        });
      });
}

void Sessions::watch(std::shared_ptr<Watchers::Subscriber> subscriber,
                     std::chrono::milliseconds period) {
  if (shut_down_) {
    subscriber->notify({Event::Kind::lost, {}, ending().message});
    return;
  }
  watchers_.add(std::move(subscriber), period);
}

SessionStatus Sessions::describe(const Entry& entry, bool connections) const {
  const auto& [key, session] = entry;
  SessionStatus status;
  status.session = key;
  status.reservation = session.reservation;
  status.state = session.machine.state();
  status.targets = session.targets;
  status.transport = session.transport;
  if (!session.forwarder) return status;
  status.ports = session.forwarder->ports();
  status.counters = session.forwarder->counters();
  if (connections) status.connections = session.forwarder->connections();
  return status;
}

std::vector<SessionStatus> Sessions::describe_all() const {
  std::vector<SessionStatus> all;
  all.reserve(sessions_.size());
  for (const Entry& entry : sessions_) all.push_back(describe(entry, false));
  return all;
}

void Sessions::shut_down(std::function<void()> done) {
  if (done) {
    shut_down_ = std::move(done);
    forwarding_->hurry();
  }
  if (!sessions_.empty()) {
    std::vector<SessionKey> keys;
    for (const Entry& entry : sessions_) keys.push_back(entry.first);
    for (const SessionKey& key : keys) {
      const auto found = sessions_.find(key);
      if (found != sessions_.end()) start_release(*found, Ending::cut, ending().message);
    }
    return;
  }
  watchers_.send({Event::Kind::lost, {}, ending().message});
  watchers_.clear();
  shut_down_();
}

}  // namespace scistream::dataserver

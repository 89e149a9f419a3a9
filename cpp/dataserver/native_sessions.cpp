#include "dataserver/native_sessions.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/version.hpp"
#include "net/tcp.hpp"

namespace scistream::dataserver {

namespace {

constexpr const char* tcp = "tcp";
constexpr const char* tls = "tls";

relay::Options with_ids(relay::Options options) {
  // One source for all relays: connection ids are unique within the data server.
  if (!options.ids) options.ids = std::make_shared<std::atomic<std::uint64_t>>(0);
  if (!options.flows) options.flows = std::make_shared<std::atomic<std::size_t>>(0);
  return options;
}

/// So that no two data servers give the same id to their reservations.
std::uint64_t random_start() {
  std::uint64_t start = 0;
  const Secret random = Secret::random(6);
  for (const std::uint8_t byte : random.bytes()) start = start << 8U | byte;
  return start << 15U;
}

Error ending() { return {Cause::unavailable, "the data server is ending"}; }

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

Status check(const UpdateRequest& request) {
  const auto refuse = [&](const std::string& why) -> Status {
    return Error{Cause::invalid_argument, "session " + to_string(request.session) + ": " + why};
  };
  if (request.targets.empty()) return refuse("the list of targets is empty");
  if (request.transport != tcp && request.transport != tls)
    return refuse("transport '" + request.transport + "' is not one of: tcp, tls");
  if (request.transport == tls && request.data_key.size() != key_size)
    return refuse("transport tls needs a data key of " + std::to_string(key_size) + " bytes");
  return {};
}

}  // namespace

NativeDataServer::Sessions::Sessions(boost::asio::io_context& bookkeeping, net::IoThreads& threads,
                                     NativeOptions options, Logger log)
    : bookkeeping_(bookkeeping),
      threads_(threads),
      options_(with_ids(std::move(options.relay))),
      suites_(std::move(options.ciphersuites)),
      tls_client_(std::make_shared<net::TlsContext>(net::TlsRole::client, suites_)),
      tls_server_(std::make_shared<net::TlsContext>(net::TlsRole::server, suites_)),
      log_(std::move(log)),
      last_reservation_(random_start()),
      watchers_(bookkeeping, [this] { return describe_all(); }) {}

void NativeDataServer::Sessions::info(const Callback<Info>& done) {
  if (shut_down_) return done(ending());
  done(Info{"Native", std::string(version()), {tcp, tls}, sessions_.size()});
}

void NativeDataServer::Sessions::reserve(const ReserveRequest& request,
                                         const Callback<Reservation>& done) {
  if (shut_down_) return done(ending());
  if (const Status valid = check(request); !valid) return done(valid.error());

  const auto found = sessions_.find(request.session);
  if (found != sessions_.end() && found->second.machine.state() == State::idle) {
    const Session& session = found->second;
    if (static_cast<int>(session.ports.size()) == request.num_conn) {
      return done(Reservation{session.reservation, session.ports});
    }
    return done(Error{Cause::already_exists, "session " + to_string(request.session) + " has " +
                                                 std::to_string(session.ports.size()) +
                                                 " listeners, not " +
                                                 std::to_string(request.num_conn)});
  }
  const auto [place, fresh] = sessions_.try_emplace(request.session);
  Entry& entry = *place;
  Session& session = entry.second;
  if (fresh) session.reservation = ++last_reservation_;
  if (const Status taken = session.machine.apply(Input::reserve); !taken) {
    return done(taken.error());
  }
  announce(entry, {});

  auto relay = make_relay(request);
  if (!relay) {
    const Error& why = relay.error();
    log_->warn("session {}: {}", to_string(request.session), why.message);
    start_release(entry, Ending::cut, why.message);
    return done(why);
  }
  session.relay = std::move(*relay);
  for (const Endpoint& bound : session.relay->listeners()) session.ports.push_back(bound.port);
  apply(entry, Input::reserved);
  log_->info("session {}: {} listeners reserved", to_string(entry.first), session.ports.size());
  done(Reservation{session.reservation, session.ports});
}

Result<std::unique_ptr<relay::Relay>> NativeDataServer::Sessions::make_relay(
    const ReserveRequest& request) {
  const auto host = net::local_endpoint({request.bind_host, 0});
  if (!host) return host.error();
  auto sockets = request.exact_ports.empty()
                     ? ports_.take(host.value(), request.ports,
                                   static_cast<std::size_t>(request.num_conn), request.datagrams)
                     : PortPool::take_exactly(host.value(), request.exact_ports, request.datagrams);
  if (!sockets) return sockets.error();
  const bool producer = request.session.role == Role::producer;
  const auto before_targets = producer ? relay::Mode::refuse : relay::Mode::hold;
  auto options = options_;
  options.datagrams = request.datagrams;
  options.facility =
      producer ? relay::SharedRates{outbound_, inbound_} : relay::SharedRates{inbound_, outbound_};
  return relay::Relay::create(threads_, std::move(*sockets), before_targets, std::move(options),
                              log_);
}

void NativeDataServer::Sessions::update(const UpdateRequest& request, const Callback<void>& done) {
  if (shut_down_) return done(ending());
  if (const Status valid = check(request); !valid) return done(valid);
  const auto found = sessions_.find(request.session);
  if (found == sessions_.end()) return done(no_session(request.session));
  Entry& entry = *found;
  Session& session = entry.second;
  if (const Status taken = session.machine.apply(Input::update); !taken) return done(taken);
  announce(entry, {});

  for (const auto& facility : {outbound_, inbound_})
    facility->set_rate(request.rate.capacity_mbps * relay::bits_per_megabit);
  session.relay->set_rate(request.rate.mbps * relay::bits_per_megabit, request.rate.leased);
  if (const Status forwarding = session.relay->retarget(request.targets, transport(entry, request));
      !forwarding) {
    const Error& why = forwarding.error();
    log_->error("session {}: {}", to_string(request.session), why.message);
    start_release(entry, Ending::cut, why.message);
    return done(why);
  }
  session.targets = request.targets;
  session.transport = request.transport;
  apply(entry, Input::updated);
  log_->info("session {}: forwarding to {}", to_string(entry.first), to_string(session.targets));
  done({});
}

relay::TransportPtr NativeDataServer::Sessions::transport(Entry& entry,
                                                          const UpdateRequest& request) {
  auto& [key, session] = entry;
  // The producer's side is connected to over the WAN, the consumer's connects.
  const auto far = key.role == Role::producer ? relay::Side::accepted : relay::Side::dialled;
  if (request.transport == tcp) return relay::tcp_transport(far);
  if (!session.keys) session.keys = std::make_shared<net::KeyRing>(suites_, clock_);
  session.keys->replace(request.data_key);
  return relay::tls_transport(far, far == relay::Side::accepted ? tls_server_ : tls_client_,
                              session.keys);
}

void NativeDataServer::Sessions::release(const SessionKey& key, Ending how, Callback<void> done) {
  if (shut_down_) return done(ending());
  const auto found = sessions_.find(key);
  if (found == sessions_.end()) return done({});
  found->second.releasing.push_back(std::move(done));
  start_release(*found, how, {});
}

/// Repeated, it only turns a drain into a cut.
void NativeDataServer::Sessions::start_release(Entry& entry, Ending how, const std::string& why) {
  const SessionKey key = entry.first;
  Session& session = entry.second;
  const bool again = session.machine.state() == State::releasing;
  if (again && how == Ending::drain) return;
  if (!again) apply(entry, Input::release, why);
  // Who is being let in while it drains is waited for as well.
  if (session.keys && how == Ending::cut) session.keys->clear();
  if (!session.relay) {
    released(key);
    return;
  }
  // Comes on a thread of the relay, once: a cut that follows a drain brings the drain's forward.
  const auto when_free = [this, key] {
    boost::asio::post(bookkeeping_, [this, key] { released(key); });
  };
  if (how == Ending::cut) {
    session.relay->cut(again ? relay::Relay::Callback() : when_free);
  } else {
    session.relay->drain(when_free);
  }
}

void NativeDataServer::Sessions::released(const SessionKey& key) {
  const auto found = sessions_.find(key);
  if (found == sessions_.end() || !found->second.machine.apply(Input::released)) return;
  const SessionStatus last = describe(*found, false);
  const std::vector<Callback<void>> waiting = std::move(found->second.releasing);
  if (found->second.keys) found->second.keys->clear();
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
      done({});
    }
  }
  if (shut_down_ && sessions_.empty()) shut_down({});
}

void NativeDataServer::Sessions::apply(Entry& entry, Input input, const std::string& detail) {
  if (const Status taken = entry.second.machine.apply(input); !taken) {
    log_->critical("session {}: {}", to_string(entry.first), taken.error().message);
    return;
  }
  announce(entry, detail);
}

void NativeDataServer::Sessions::announce(const Entry& entry, const std::string& detail) {
  log_->debug("session {}: Current state: {}", to_string(entry.first),
              to_string(entry.second.machine.state()));
  watchers_.send({Event::Kind::state, describe(entry, false), detail});
}

void NativeDataServer::Sessions::status(const std::optional<SessionKey>& key,
                                        const Callback<std::vector<SessionStatus>>& done) {
  if (shut_down_) return done(ending());
  if (!key) return done(describe_all());
  const auto found = sessions_.find(*key);
  if (found == sessions_.end()) return done(no_session(*key));
  done(std::vector<SessionStatus>{describe(*found, true)});
}

void NativeDataServer::Sessions::watch(std::shared_ptr<Watchers::Subscriber> subscriber,
                                       std::chrono::milliseconds period) {
  if (shut_down_) {
    subscriber->notify({Event::Kind::lost, {}, ending().message});
    return;
  }
  watchers_.add(std::move(subscriber), period);
}

SessionStatus NativeDataServer::Sessions::describe(const Entry& entry, bool connections) const {
  const auto& [key, session] = entry;
  SessionStatus status{key,
                       session.reservation,
                       session.machine.state(),
                       session.ports,
                       session.targets,
                       session.transport,
                       {},
                       {}};
  if (!session.relay) return status;
  // In both roles the producer is behind the target: of the producer's session it is the target.
  const relay::Snapshot now = session.relay->snapshot();
  status.counters = {now.bytes_to_client,
                     now.bytes_to_target,
                     now.connections_active,
                     now.connections_total,
                     now.errors,
                     now.refused,
                     now.idle};
  if (!connections) return status;
  for (relay::ConnectionSnapshot& c : session.relay->connections()) {
    status.connections.push_back({c.id, session.ports[c.listener], std::move(c.peer),
                                  std::move(c.target), c.bytes_to_client, c.bytes_to_target,
                                  c.idle});
  }
  return status;
}

std::vector<SessionStatus> NativeDataServer::Sessions::describe_all() const {
  std::vector<SessionStatus> all;
  all.reserve(sessions_.size());
  for (const Entry& entry : sessions_) all.push_back(describe(entry, false));
  return all;
}

void NativeDataServer::Sessions::shut_down(std::function<void()> done) {
  if (done) shut_down_ = std::move(done);
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

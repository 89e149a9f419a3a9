#include "relay/core.hpp"

#include <sys/socket.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <cassert>
#include <utility>

namespace scistream::relay {

namespace {

Options with_ids(Options options) {
  if (!options.ids) options.ids = std::make_shared<std::atomic<std::uint64_t>>(0);
  if (!options.crowd) options.crowd = std::make_shared<Crowd>();
  if (!options.flows) options.flows = std::make_shared<std::atomic<std::size_t>>(0);
  return options;
}

/// From here the kernel takes connections into the backlog.
Status start_listening(int socket, int backlog) {
  // Inherited by every accepted socket, so there is no moment in which it is not set.
  net::set_stream_options(socket);
  net::set_reset_on_close(socket, true);
  if (const auto address = net::bound_address(socket); address.ok())
    net::leave_unpaced_on_loopback(socket, *address);
  const int on = 1;
  // Urgent data stays where it was in the stream.
  ::setsockopt(socket, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
  return net::listen_tcp(socket, backlog);
}

}  // namespace

Relay::Core::Core(net::IoThreads& threads, Options options, Logger log)
    : threads_(threads),
      home_(threads.next()),
      options_(with_ids(std::move(options))),
      log_(std::move(log)),
      accepted_([this](std::size_t listener, net::Fd client, const net::tcp::endpoint& peer) {
        accepted(listener, std::move(client), peer);
      }),
      shaping_(std::make_shared<Shaping>(options_.facility)),
      gate_(options_.most_handshakes) {
  options_.crowd->relay_comes();
}

Relay::Core::~Core() { options_.crowd->relay_goes(); }

Status Relay::Core::listen(net::BoundPorts ports, Mode before_targets) {
  const std::lock_guard lock(mutex_);
  mode_ = before_targets;
  datagram_sockets_ = std::move(ports.datagrams);
  for (net::Fd& socket : ports.listeners) {
    const auto bound = net::bound_address(socket.get());
    if (!bound) return bound.error();
    bound_.push_back(net::to_endpoint(bound.value()));
    listeners_.emplace_back(home_, std::move(socket), listeners_.size(), to_string(bound_.back()),
                            accepted_, log_);
    if (mode_ == Mode::refuse) continue;
    const Status listening = start_listening(listeners_.back().socket(), options_.backlog);
    if (!listening) return listening;
  }
  return {};
}

Status Relay::Core::retarget(std::vector<Endpoint> targets, TransportPtr transport) {
  if (targets.empty()) return Error{Cause::invalid_argument, "the list of targets is empty"};
  const std::lock_guard lock(mutex_);
  if (closing_) return Error{Cause::failed_precondition, "the relay is being released"};
  if (mode_ == Mode::refuse) {
    for (net::Acceptor& listener : listeners_) {
      const Status listening = start_listening(listener.socket(), options_.backlog);
      if (!listening) return listening;
    }
    mode_ = Mode::hold;
  }
  targets_ = std::move(targets);
  transport_ = std::move(transport);
  if (mode_ == Mode::forward) return {};
  mode_ = Mode::forward;
  boost::asio::post(home_, [self = shared_from_this()] {
    for (net::Acceptor& listener : self->listeners_) listener.start(self);
    self->start_datagrams();
  });
  return {};
}

std::shared_ptr<ConnectionRecord> Relay::Core::record_of(std::size_t listener, std::string peer) {
  auto record = std::make_shared<ConnectionRecord>();
  record->id = options_.ids->fetch_add(1, std::memory_order_relaxed) + 1;
  record->listener = listener;
  record->peer = std::move(peer);
  return record;
}

void Relay::Core::accepted(std::size_t listener, net::Fd client, const net::tcp::endpoint& peer) {
  assert(home_.get_executor().running_in_this_thread());
  begin(listener, std::move(client), to_string(net::to_endpoint(peer)),
        net::owned_by_peer(peer.address()), false);
}

void Relay::Core::begin(std::size_t listener, net::Fd client, std::string peer, std::string address,
                        bool datagrams) {
  const auto record = record_of(listener, std::move(peer));
  record->address = std::move(address);
  record->datagrams = datagrams;
  boost::asio::io_context& context = threads_.next();
  std::shared_ptr<Connection> connection;
  Live makes_room;
  HandshakeGate::Report turned_away;
  {
    const std::lock_guard lock(mutex_);
    if (datagrams && closing_) return;  // it would not be among those that are cut
    const auto now = std::chrono::steady_clock::now();
    const bool proves = transport_->asks_for_proof();
    if (!options_.crowd->has_room(client.get(), live_.size())) {
      counters_.refused.fetch_add(1, std::memory_order_relaxed);
      counters_.errors.fetch_add(1, std::memory_order_relaxed);
      if (!complaints_.may(now)) return;
      return log_->warn(
          "{} has {} connections, and few descriptors are left: it takes no more for now",
          to_string(bound_[listener]), live_.size());
    }
    if (!proves || gate_.admits(record->address, now)) {
      const auto first =
          proves ? gate_.begin(record->id, record->address, now) : std::optional<std::uint64_t>();
      if (const auto found = first ? live_.find(*first) : live_.end(); found != live_.end())
        makes_room = found->second;
      const Endpoint& target = targets_[listener % targets_.size()];
      record->target = to_string(target);
      record->client = record->address + "/" + std::to_string(listener);
      dial_order_.came(record->client, record->id, now);
      connection = connection_of(record, std::move(client), target, context);
    } else {
      turned_away = gate_.turned_away(record->address, now);
    }
  }
  if (!connection) {
    counters_.refused.fetch_add(1, std::memory_order_relaxed);
    counters_.errors.fetch_add(1, std::memory_order_relaxed);
    return refused(*record, "too many of that address had not the key; it has to wait",
                   turned_away);
  }
  boost::asio::post(context, [connection] { connection->start(); });
  if (makes_room.context == nullptr) return;
  boost::asio::post(*makes_room.context, [weak = makes_room.connection] {
    if (const auto slow = weak.lock()) slow->make_room();
  });
}

/// Makes it one of those that live; the mutex is held.
std::shared_ptr<Connection> Relay::Core::connection_of(
    const std::shared_ptr<ConnectionRecord>& record, net::Fd client, const Endpoint& target,
    boost::asio::io_context& context) {
  Connection::Events events;
  events.ready = [self = shared_from_this(), record](DialOrder::Go go) {
    return self->dial_order_.ready(record->client, record->id, std::chrono::steady_clock::now(),
                                   std::move(go));
  };
  events.jump = [self = shared_from_this(), record] {
    return self->dial_order_.jump(record->client, record->id);
  };
  events.dialling = [self = shared_from_this(), record] {
    self->dial_order_.over(record->client, record->id);
  };
  events.admitted = [self = shared_from_this(), record] { self->admitted(*record); };
  events.ended = [self = shared_from_this(), record](ConnectionEnd how, const std::string& why) {
    self->ended(*record, how, why);
  };
  auto connection =
      std::make_shared<Connection>(context, std::move(client), target, transport_, options_, record,
                                   shaping_, counters_, log_, std::move(events));
  live_.emplace(record->id, Live{record, connection, &context});
  options_.crowd->connection_comes();
  return connection;
}

void Relay::Core::save(Saved done) {
  struct Gathering {
    std::mutex mutex;
    std::vector<ConnectionState> states;
    std::size_t missing = 1;  // this call itself
    Saved done;

    void add(std::optional<ConnectionState> state) {
      std::vector<ConnectionState> all;
      {
        const std::lock_guard lock(mutex);
        if (state) states.push_back(std::move(*state));
        if (--missing > 0) return;
        all = std::move(states);
      }
      done(std::move(all));
    }
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->done = std::move(done);
  {
    const std::lock_guard lock(mutex_);
    gathering->missing += live_.size();
    for (const auto& [id, live] : live_) {
      boost::asio::post(*live.context, [weak = live.connection, gathering] {
        const auto connection = weak.lock();
        gathering->add(connection ? connection->save() : std::nullopt);
      });
    }
  }
  gathering->add(std::nullopt);
}

Status Relay::Core::resume(ConnectionState state) {
  const auto target = parse_endpoint(state.target);
  if (!target) return target.error();
  boost::asio::io_context& context = threads_.next();
  std::shared_ptr<Connection> connection;
  auto link = std::make_shared<LinkState>(std::move(state.link));
  {
    const std::lock_guard lock(mutex_);
    if (closing_ || mode_ != Mode::forward)
      return Error{Cause::failed_precondition, "the relay does not forward"};
    if (state.listener >= listeners_.size())
      return Error{Cause::invalid_argument, "the connection is of a relay with other listeners"};
    if (link->out.ended && link->in.ended)
      return Error{Cause::invalid_argument, "both directions of the connection have ended"};
    const bool accepted_far = transport_->far_side() == Side::accepted;
    if (accepted_far != state.accepted_far || transport_->encrypts() != link->keys.has_value())
      return Error{Cause::invalid_argument, "the connection is of a relay of another kind"};
    const auto record = record_of(state.listener, std::move(state.peer));
    record->target = std::move(state.target);
    record->traffic.add(Direction::to_client, state.bytes_to_client);
    record->traffic.add(Direction::to_target, state.bytes_to_target);
    connection = connection_of(record, std::move(state.near), *target, context);
  }
  boost::asio::post(context, [connection, link] { connection->resume(std::move(*link)); });
  return {};
}

void Relay::Core::admitted(const ConnectionRecord& record) {
  counters_.active.fetch_add(1, std::memory_order_relaxed);
  counters_.total.fetch_add(1, std::memory_order_relaxed);
  counters_.traffic.touch();
  const std::lock_guard lock(mutex_);
  if (!transport_->asks_for_proof()) return;
  gate_.end(record.id);
  const auto unsaid = gate_.succeeded(record.address, std::chrono::steady_clock::now());
  if (unsaid > 0) {
    log_->warn("{} more of {} were refused before {} proved that it has the key", unsaid,
               record.address, record.peer);
  }
}

void Relay::Core::refused(const ConnectionRecord& record, const std::string& why,
                          const HandshakeGate::Report& report) {
  if (!report.say) return;
  const std::string more =
      report.unsaid == 0 ? "" : " (and " + std::to_string(report.unsaid) + " more from there)";
  log_->warn("{} was refused: {}{}", record.peer, why, more);
}

void Relay::Core::ended(const ConnectionRecord& record, ConnectionEnd how, const std::string& why) {
  if (how != ConnectionEnd::clean) counters_.errors.fetch_add(1, std::memory_order_relaxed);
  const bool admitted = record.admitted.load(std::memory_order_relaxed);
  if (admitted) {
    counters_.active.fetch_sub(1, std::memory_order_relaxed);
    counters_.traffic.touch();
  } else if (how == ConnectionEnd::refused || how == ConnectionEnd::silent) {
    counters_.refused.fetch_add(1, std::memory_order_relaxed);
  }
  HandshakeGate::Report report;
  {
    const std::lock_guard lock(mutex_);
    if (!admitted) gate_.end(record.id);
    if (how == ConnectionEnd::refused)
      report = gate_.failed(record.address, std::chrono::steady_clock::now());
    if (live_.erase(record.id) > 0) options_.crowd->connection_goes();
    if (closing_ && live_.empty()) {
      boost::asio::post(home_, [self = shared_from_this()] { self->finish_if_idle(); });
    }
  }
  refused(record, why, report);
}

void Relay::Core::close(bool cut, Callback done) {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    if (done) waiting_.push_back(std::move(done));
  }
  boost::asio::post(home_, [self = shared_from_this(), cut] {
    self->close_listeners();
    self->close_datagrams(cut);
    if (cut) self->reset_connections();
    self->finish_if_idle();
  });
}

void Relay::Core::close_listeners() {
  // Held, because retarget() may be making them listen.
  const std::lock_guard lock(mutex_);
  for (net::Acceptor& listener : listeners_) listener.close();
}

void Relay::Core::reset_connections() {
  const std::lock_guard lock(mutex_);
  for (const auto& [id, live] : live_) {
    boost::asio::post(*live.context, [weak = live.connection] {
      if (const auto connection = weak.lock()) connection->reset();
    });
  }
}

void Relay::Core::finish_if_idle() {
  assert(home_.get_executor().running_in_this_thread());
  std::vector<Callback> callbacks;
  {
    const std::lock_guard lock(mutex_);
    if (!closing_ || !live_.empty() || open_datagram_listeners_ > 0) return;
    callbacks.swap(waiting_);
  }
  for (const Callback& done : callbacks) done();
}

std::vector<Endpoint> Relay::Core::bound() const { return bound_; }

Mode Relay::Core::mode() const {
  const std::lock_guard lock(mutex_);
  return mode_;
}

Snapshot Relay::Core::snapshot() const {
  return {counters_.traffic.to_client(),
          counters_.traffic.to_target(),
          counters_.active.load(std::memory_order_relaxed),
          counters_.total.load(std::memory_order_relaxed),
          counters_.errors.load(std::memory_order_relaxed),
          counters_.refused.load(std::memory_order_relaxed),
          counters_.traffic.idle()};
}

std::vector<ConnectionSnapshot> Relay::Core::connections() const {
  std::vector<ConnectionSnapshot> list;
  const std::lock_guard lock(mutex_);
  list.reserve(live_.size());
  for (const auto& [id, live] : live_) {
    const ConnectionRecord& record = *live.record;
    if (!record.admitted.load(std::memory_order_relaxed)) continue;
    const bool dialled = record.dialled.load(std::memory_order_relaxed);
    list.push_back({id, record.listener, record.peer, dialled ? record.target : std::string(),
                    record.traffic.to_client(), record.traffic.to_target(), record.traffic.idle()});
  }
  return list;
}

}  // namespace scistream::relay

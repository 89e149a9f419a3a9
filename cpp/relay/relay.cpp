#include "relay/relay.hpp"

#include <sys/socket.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <cassert>
#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "net/acceptor.hpp"
#include "relay/connection.hpp"
#include "relay/datagram_flows.hpp"
#include "relay/handshake_gate.hpp"

namespace scistream::relay {

/// What a Relay is a handle of. Kept alive by the handle, by accept loops and by live connections;
/// connections are known to it only weakly, so nothing keeps itself alive. Listeners live on the
/// thread of `home_`, each connection on its own. The mutex guards what is named below it and is
/// never taken where bytes move.
class Relay::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(net::IoThreads& threads, Options options, Logger log);

  Status listen(Sockets sockets, Mode before_targets);
  Status retarget(std::vector<Endpoint> targets, TransportPtr transport);
  void close(bool cut, Callback done);

  void set_rate(std::uint64_t bits_per_second, bool leased) {
    shaping_->set_rate(bits_per_second, leased);
  }

  void save(Saved done);
  Status resume(ConnectionState state);

  [[nodiscard]] std::vector<Endpoint> bound() const;
  [[nodiscard]] Mode mode() const;
  [[nodiscard]] Snapshot snapshot() const;
  [[nodiscard]] std::vector<ConnectionSnapshot> connections() const;

 private:
  struct Live {
    std::shared_ptr<const ConnectionRecord> record;
    std::weak_ptr<Connection> connection;
    boost::asio::io_context* context = nullptr;
  };

  void accepted(std::size_t listener, net::Fd client, const net::tcp::endpoint& peer);
  /// Takes a client in; `address` is what the gate knows it by.
  void begin(std::size_t listener, net::Fd client, std::string peer, std::string address,
             bool datagrams);
  void start_datagrams();
  std::optional<DatagramListener::Plan> open_flow(std::size_t listener,
                                                  boost::asio::io_context& context,
                                                  const net::udp::endpoint& client);
  std::shared_ptr<ConnectionRecord> record_of(std::size_t listener, std::string peer);
  std::shared_ptr<Connection> connection_of(const std::shared_ptr<ConnectionRecord>& record,
                                            net::Fd client, const Endpoint& target,
                                            boost::asio::io_context& context);
  void admitted(const ConnectionRecord& record);
  void ended(const ConnectionRecord& record, ConnectionEnd how, const std::string& why);
  void close_listeners();
  void close_datagrams(bool cut);
  void reset_connections();
  void finish_if_idle();

  net::IoThreads& threads_;
  boost::asio::io_context& home_;
  const Options options_;
  const Logger log_;
  const net::Acceptor::Accepted accepted_;
  const std::shared_ptr<Shaping> shaping_;
  Counters counters_;
  std::vector<Endpoint> bound_;
  std::list<net::Acceptor> listeners_;     ///< The list itself never changes after listen().
  std::vector<net::Fd> datagram_sockets_;  ///< Until they are started, on `home_`.
  std::vector<std::shared_ptr<DatagramListener>> datagram_listeners_;  ///< On `home_`.
  bool datagrams_close_ = false;                                       ///< On `home_`.

  mutable std::mutex mutex_;
  Mode mode_ = Mode::refuse;
  bool closing_ = false;
  std::vector<Endpoint> targets_;
  TransportPtr transport_;
  HandshakeGate gate_;
  std::unordered_map<std::uint64_t, Live> live_;
  std::vector<Callback> waiting_;
  std::size_t open_datagram_listeners_ = 0;  ///< Each is counted down once, by the first close.
};

namespace {

Options with_ids(Options options) {
  if (!options.ids) options.ids = std::make_shared<std::atomic<std::uint64_t>>(0);
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

Status Sockets::bind(const net::tcp::endpoint& address, bool with_datagrams) {
  // Of any free port the first one may be in use for datagrams.
  for (int attempt = 0;; ++attempt) {
    auto listener = net::bind_tcp(address);
    if (!listener) return listener.error();
    if (!with_datagrams) {
      listeners.push_back(std::move(*listener));
      return {};
    }
    const auto bound = net::bound_address(listener->get());
    if (!bound) return bound.error();
    auto socket = net::bind_udp({bound->address(), bound->port()});
    if (socket) {
      listeners.push_back(std::move(*listener));
      datagrams.push_back(std::move(*socket));
      return {};
    }
    constexpr int attempts = 16;
    if (address.port() != 0 || attempt == attempts) return socket.error();
  }
}

Relay::Core::Core(net::IoThreads& threads, Options options, Logger log)
    : threads_(threads),
      home_(threads.next()),
      options_(with_ids(std::move(options))),
      log_(std::move(log)),
      accepted_([this](std::size_t listener, net::Fd client, const net::tcp::endpoint& peer) {
        accepted(listener, std::move(client), peer);
      }),
      shaping_(std::make_shared<Shaping>(options_.facility)),
      gate_(options_.most_handshakes) {}

Status Relay::Core::listen(Sockets sockets, Mode before_targets) {
  const std::lock_guard lock(mutex_);
  mode_ = before_targets;
  datagram_sockets_ = std::move(sockets.datagrams);
  for (net::Fd& socket : sockets.listeners) {
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

void Relay::Core::start_datagrams() {
  auto sockets = std::exchange(datagram_sockets_, {});
  TransportPtr transport;
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return;
    transport = transport_;
    // Whoever has to prove something does so on a connection.
    if (!transport->asks_for_proof()) open_datagram_listeners_ = sockets.size();
  }
  if (transport->asks_for_proof()) {
    for (const net::Fd& socket : sockets) net::keep_little(socket.get());
    datagram_sockets_ = std::move(sockets);  // the ports are ours all the same
    return;
  }
  // What is framed is shaped as the stream that it becomes.
  std::shared_ptr<Shaper> shaper;
  if (!transport->frames_datagrams())
    shaper = std::shared_ptr<Shaper>(shaping_, &shaping_->of(Direction::to_target));
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    boost::asio::io_context& context = threads_.next();
    auto listener = std::make_shared<DatagramListener>(context, shaper, options_.flow_idle);
    datagram_listeners_.push_back(listener);
    auto socket = std::make_shared<net::Fd>(std::move(sockets[i]));
    boost::asio::post(context, [weak = weak_from_this(), listener, socket, i, &context] {
      listener->start(std::move(*socket), [weak, i, &context](const net::udp::endpoint& client) {
        const auto self = weak.lock();
        return self ? self->open_flow(i, context, client) : std::nullopt;
      });
    });
  }
}

std::shared_ptr<ConnectionRecord> Relay::Core::record_of(std::size_t listener, std::string peer) {
  auto record = std::make_shared<ConnectionRecord>();
  record->id = options_.ids->fetch_add(1, std::memory_order_relaxed) + 1;
  record->listener = listener;
  record->peer = std::move(peer);
  return record;
}

std::optional<DatagramListener::Plan> Relay::Core::open_flow(std::size_t listener,
                                                             boost::asio::io_context& context,
                                                             const net::udp::endpoint& client) {
  std::string peer = to_string(Endpoint{client.address().to_string(), client.port()});
  DatagramListener::Plan plan;
  TransportPtr transport;
  Endpoint target;
  {
    const std::lock_guard lock(mutex_);
    if (closing_ || *options_.flows >= options_.most_flows) return std::nullopt;
    transport = transport_;
    target = targets_[listener % targets_.size()];
  }
  if (transport->frames_datagrams()) {
    auto ends = StreamEnd::pair();
    if (!ends) {
      log_->debug("no descriptors for the datagrams of {}", peer);
      return std::nullopt;
    }
    plan.far = std::make_shared<StreamEnd>(context, std::move(ends->second));
    plan.ended = [flows = options_.flows](bool) { --*flows; };
    ++*options_.flows;
    begin(listener, std::move(ends->first), std::move(peer), {}, true);
    return plan;
  }
  const auto record = record_of(listener, std::move(peer));
  record->target = to_string(target);
  record->admitted.store(true, std::memory_order_relaxed);
  record->dialled.store(true, std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    live_.emplace(record->id, Live{record, {}, &context});
  }
  counters_.active.fetch_add(1, std::memory_order_relaxed);
  counters_.total.fetch_add(1, std::memory_order_relaxed);
  counters_.traffic.touch();
  plan.far = std::make_shared<UdpEnd>(
      context, target, std::shared_ptr<Shaper>(shaping_, &shaping_->of(Direction::to_client)));
  const auto counted = [&](Direction direction) {
    return [weak = weak_from_this(), record, direction](std::size_t bytes) {
      record->traffic.add(direction, bytes);
      if (const auto self = weak.lock()) self->counters_.traffic.add(direction, bytes);
    };
  };
  plan.to_target = counted(Direction::to_target);
  plan.to_client = counted(Direction::to_client);
  ++*options_.flows;
  plan.ended = [flows = options_.flows, weak = weak_from_this(), record](bool cut) {
    --*flows;
    if (const auto self = weak.lock())
      self->ended(*record, cut ? ConnectionEnd::reset : ConnectionEnd::clean, {});
  };
  return plan;
}

void Relay::Core::accepted(std::size_t listener, net::Fd client, const net::tcp::endpoint& peer) {
  assert(home_.get_executor().running_in_this_thread());
  begin(listener, std::move(client), to_string(net::to_endpoint(peer)),
        gate_address(peer.address()), false);
}

void Relay::Core::begin(std::size_t listener, net::Fd client, std::string peer, std::string address,
                        bool datagrams) {
  const auto record = record_of(listener, std::move(peer));
  record->address = std::move(address);
  record->datagrams = datagrams;
  boost::asio::io_context& context = threads_.next();
  std::shared_ptr<Connection> connection;
  Live makes_room;
  {
    const std::lock_guard lock(mutex_);
    if (datagrams && closing_) return;  // it would not be among those that are cut
    if (transport_->asks_for_proof()) {
      if (!gate_.admits(record->address, std::chrono::steady_clock::now())) {
        counters_.refused.fetch_add(1, std::memory_order_relaxed);
        counters_.errors.fetch_add(1, std::memory_order_relaxed);
        return;
      }
      if (const auto first = gate_.begin(record->id, record->address)) {
        if (const auto found = live_.find(*first); found != live_.end()) makes_room = found->second;
      }
    }
    const Endpoint& target = targets_[listener % targets_.size()];
    record->target = to_string(target);
    connection = connection_of(record, std::move(client), target, context);
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
  events.admitted = [self = shared_from_this(), record] { self->admitted(*record); };
  events.ended = [self = shared_from_this(), record](ConnectionEnd how, const std::string& why) {
    self->ended(*record, how, why);
  };
  auto connection =
      std::make_shared<Connection>(context, std::move(client), target, transport_, options_, record,
                                   shaping_, counters_, log_, std::move(events));
  live_.emplace(record->id, Live{record, connection, &context});
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
  gate_.succeeded(record.address);
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
    live_.erase(record.id);
    if (closing_ && live_.empty()) {
      boost::asio::post(home_, [self = shared_from_this()] { self->finish_if_idle(); });
    }
  }
  if (!report.say) return;
  const std::string more =
      report.unsaid == 0 ? "" : " (and " + std::to_string(report.unsaid) + " more from there)";
  log_->warn("{} was refused: {}{}", record.peer, why, more);
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

void Relay::Core::close_datagrams(bool cut) {
  datagram_sockets_.clear();
  const bool first = !std::exchange(datagrams_close_, true);
  for (const auto& listener : datagram_listeners_) {
    boost::asio::post(listener->context(), [self = shared_from_this(), listener, cut, first] {
      std::function<void()> closed = [self] {
        {
          const std::lock_guard lock(self->mutex_);
          --self->open_datagram_listeners_;
        }
        boost::asio::post(self->home_, [self] { self->finish_if_idle(); });
      };
      if (!first) closed = nullptr;
      if (cut) {
        listener->cut(std::move(closed));
      } else {
        listener->drain(std::move(closed));
      }
    });
  }
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

Result<std::unique_ptr<Relay>> Relay::create(net::IoThreads& threads, Sockets sockets,
                                             Mode before_targets, Options options, Logger log) {
  auto core = std::make_shared<Core>(threads, std::move(options), std::move(log));
  const Status listening = core->listen(std::move(sockets), before_targets);
  if (!listening) return listening.error();
  return std::unique_ptr<Relay>(new Relay(std::move(core)));
}

Result<std::unique_ptr<Relay>> Relay::open(net::IoThreads& threads, const std::vector<Pair>& pairs,
                                           Options options, Logger log, TransportPtr transport) {
  Sockets sockets;
  std::vector<Endpoint> targets;
  for (const Pair& pair : pairs) {
    const auto address = net::local_endpoint(pair.listener);
    if (!address) return address.error();
    if (const Status bound = sockets.bind(address.value(), options.datagrams); !bound)
      return bound.error();
    targets.push_back(pair.target);
  }
  auto relay =
      create(threads, std::move(sockets), Mode::refuse, std::move(options), std::move(log));
  if (!relay) return relay;
  const Status forwarding = (*relay)->retarget(std::move(targets), std::move(transport));
  if (!forwarding) return forwarding.error();
  return relay;
}

Relay::~Relay() { core_->close(true, nullptr); }

std::vector<Endpoint> Relay::listeners() const { return core_->bound(); }
Status Relay::retarget(std::vector<Endpoint> targets, TransportPtr transport) {
  return core_->retarget(std::move(targets), std::move(transport));
}
void Relay::set_rate(std::uint64_t bits_per_second, bool leased) {
  core_->set_rate(bits_per_second, leased);
}
void Relay::save(Saved done) { core_->save(std::move(done)); }
Status Relay::resume(ConnectionState state) { return core_->resume(std::move(state)); }
Mode Relay::mode() const { return core_->mode(); }
Snapshot Relay::snapshot() const { return core_->snapshot(); }
std::vector<ConnectionSnapshot> Relay::connections() const { return core_->connections(); }
void Relay::cut(Callback done) { core_->close(true, std::move(done)); }
void Relay::drain(Callback done) { core_->close(false, std::move(done)); }

}  // namespace scistream::relay

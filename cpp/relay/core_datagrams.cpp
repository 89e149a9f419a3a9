// The datagrams of a relay: where they cross the WAN in frames, a flow is a connection like others.
#include <boost/asio/post.hpp>
#include <utility>

#include "relay/core.hpp"

namespace scistream::relay {

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
    for (const net::Fd& socket : sockets) net::keep_received(socket.get(), 0);
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
    plan.far = std::make_shared<StreamEnd>(
        context, std::move(ends->second),
        std::shared_ptr<Shaper>(shaping_, &shaping_->of(Direction::to_target)));
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
    options_.crowd->connection_comes();
  }
  counters_.active.fetch_add(1, std::memory_order_relaxed);
  counters_.total.fetch_add(1, std::memory_order_relaxed);
  counters_.traffic.touch();
  plan.far = std::make_shared<UdpEnd>(
      context, target, std::shared_ptr<Shaper>(shaping_, &shaping_->of(Direction::to_client)),
      options_.destinations);
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

}  // namespace scistream::relay

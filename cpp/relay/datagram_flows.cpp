#include "relay/datagram_flows.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace scistream::relay {

using boost::system::error_code;
using clock = std::chrono::steady_clock;

namespace {

/// How often in its time a flow is looked at.
constexpr int looks = 4;

std::chrono::milliseconds look_every(std::chrono::milliseconds idle) {
  return std::max(idle / looks, std::chrono::milliseconds(1));
}

/// A stream at one side, a connected socket at the other.
class Bridge : public std::enable_shared_from_this<Bridge> {
 public:
  Bridge(boost::asio::io_context& context, net::Fd stream, const Endpoint& target,
         const Options& options, std::shared_ptr<Shaper> shaper)
      : stream_(context, std::move(stream), std::move(shaper)),
        socket_(context, target, nullptr, options.destinations),
        timer_(context),
        idle_(options.flow_idle) {}

  void start() {
    const auto forward_to = [this](DatagramEnd& end) {
      return [this, &end](std::span<const net::Datagrams> datagrams) {
        last_ = clock::now();
        return end.send(datagrams);
      };
    };
    const auto ended = [this] { end(); };
    stream_.start(weak_from_this(), forward_to(socket_), ended);
    socket_.start(weak_from_this(), forward_to(stream_), ended);
    if (!ended_) wait();
  }

 private:
  void wait() {
    timer_.expires_after(look_every(idle_));
    timer_.async_wait([this, keep = shared_from_this()](error_code ec) {
      if (ec) return;
      if (clock::now() - last_ >= idle_) return end();
      wait();
    });
  }

  void end() {
    ended_ = true;
    timer_.cancel();
    socket_.close();
    stream_.close();
  }

  StreamEnd stream_;
  UdpEnd socket_;
  boost::asio::steady_timer timer_;
  const std::chrono::milliseconds idle_;
  clock::time_point last_ = clock::now();
  bool ended_ = false;
};

}  // namespace

void carry_datagrams(boost::asio::io_context& context, net::Fd stream, const Endpoint& target,
                     const Options& options, std::shared_ptr<Shaper> shaper) {
  std::make_shared<Bridge>(context, std::move(stream), target, options, std::move(shaper))->start();
}

DatagramListener::DatagramListener(boost::asio::io_context& context, std::shared_ptr<Shaper> shaper,
                                   std::chrono::milliseconds idle)
    : context_(context), source_(context, std::move(shaper)), timer_(context), idle_(idle) {}

void DatagramListener::start(net::Fd socket, Open open) {
  open_ = std::move(open);
  source_.start(std::move(socket), weak_from_this(),
                [this](std::span<const net::Datagrams> datagrams) { return arrived(datagrams); });
}

std::size_t DatagramListener::arrived(std::span<const net::Datagrams> datagrams) {
  std::size_t taken = 0;
  // Those of one client that follow each other go on together.
  while (!datagrams.empty()) {
    const auto other = std::find_if(datagrams.begin(), datagrams.end(), [&](const auto& each) {
      return each.from != datagrams.front().from;
    });
    const auto count = static_cast<std::size_t>(other - datagrams.begin());
    taken += from_client(datagrams.front().from, datagrams.first(count));
    datagrams = datagrams.subspan(count);
  }
  return taken;
}

std::size_t DatagramListener::from_client(const net::udp::endpoint& client,
                                          std::span<const net::Datagrams> datagrams) {
  const auto found = flows_.find(client);
  Flow* const flow = found == flows_.end() ? open_flow(client) : &found->second;
  if (flow == nullptr) return 0;
  flow->last = clock::now();
  flow->asked = datagrams.back().to;
  const std::size_t taken = flow->plan.far->send(datagrams);
  if (flow->plan.to_target) flow->plan.to_target(taken);
  return taken;
}

std::size_t DatagramListener::from_target(const net::udp::endpoint& client,
                                          std::span<const net::Datagrams> datagrams) {
  const auto found = flows_.find(client);
  if (found == flows_.end() || !source_.is_open()) return 0;
  found->second.last = clock::now();
  const std::size_t taken =
      net::send_datagrams(source_.socket(), datagrams, &client, found->second.asked);
  if (found->second.plan.to_client) found->second.plan.to_client(taken);
  return taken;
}

DatagramListener::Flow* DatagramListener::open_flow(const net::udp::endpoint& client) {
  if (draining_) return nullptr;
  auto plan = open_(client);
  if (!plan) return nullptr;
  Flow& flow = flows_[client];
  flow.plan = std::move(*plan);
  const std::weak_ptr<DatagramListener> weak = weak_from_this();
  flow.plan.far->start(
      flow.plan.far,
      [this, client](std::span<const net::Datagrams> datagrams) {
        return from_target(client, datagrams);
      },
      [this, weak, client] {
        // It may end while it is being started.
        boost::asio::post(context_, [keep = weak.lock(), client] {
          if (keep) keep->end_flow(client, true);
        });
      });
  if (flows_.size() == 1) wait_idle();
  return &flow;
}

void DatagramListener::end_flow(const net::udp::endpoint& client, bool cut) {
  const auto found = flows_.find(client);
  if (found == flows_.end()) return;
  found->second.plan.far->close();
  const auto ended = std::move(found->second.plan.ended);
  flows_.erase(found);
  if (ended) ended(cut);
  finish_if_empty();
}

void DatagramListener::wait_idle() {
  timer_.expires_after(look_every(idle_));
  timer_.async_wait([this, keep = shared_from_this()](error_code ec) {
    if (ec || flows_.empty()) return;
    const auto now = clock::now();
    std::vector<net::udp::endpoint> over;
    for (const auto& [client, flow] : flows_)
      if (now - flow.last >= idle_) over.push_back(client);
    for (const auto& client : over) end_flow(client, false);
    if (!flows_.empty()) wait_idle();
  });
}

void DatagramListener::drain(std::function<void()> closed) {
  draining_ = true;
  if (closed) closed_.push_back(std::move(closed));
  finish_if_empty();
}

void DatagramListener::cut(std::function<void()> closed) {
  draining_ = true;
  if (closed) closed_.push_back(std::move(closed));
  while (!flows_.empty()) end_flow(net::udp::endpoint(flows_.begin()->first), true);
  finish_if_empty();
}

void DatagramListener::finish_if_empty() {
  if (!draining_ || !flows_.empty()) return;
  timer_.cancel();
  source_.close();
  open_ = nullptr;
  for (const auto& closed : std::exchange(closed_, {})) closed();
}

}  // namespace scistream::relay

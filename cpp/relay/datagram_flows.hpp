#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "base/endpoint.hpp"
#include "net/fd.hpp"
#include "relay/datagram_ends.hpp"
#include "relay/options.hpp"

namespace scistream::relay {

/// The flows of one UDP listener: one for each address that datagrams come from. A flow ends when
/// nothing has moved for a while, or with its far end. All of it on the thread of one context;
/// handlers keep it alive.
class DatagramListener : public std::enable_shared_from_this<DatagramListener> {
 public:
  /// What a new flow goes to, and what is told of it.
  struct Plan {
    std::shared_ptr<DatagramEnd> far;
    std::function<void(std::size_t bytes)> to_target;  ///< Handed on; may be empty, as the others.
    std::function<void(std::size_t bytes)> to_client;
    std::function<void(bool cut)> ended;
  };
  /// Empty: nobody serves this client.
  using Open = std::function<std::optional<Plan>(const net::udp::endpoint& client)>;

  /// `shaper`: of what comes in; may be null.
  DatagramListener(boost::asio::io_context& context, std::shared_ptr<Shaper> shaper,
                   std::chrono::milliseconds idle);

  /// Takes datagrams from `socket` from now on.
  void start(net::Fd socket, Open open);
  /// No new flows; `closed` when the last one has ended.
  void drain(std::function<void()> closed);
  /// Ends every flow now, then calls what waits.
  void cut(std::function<void()> closed);

  [[nodiscard]] boost::asio::io_context& context() const noexcept { return context_; }

 private:
  struct Flow {
    Plan plan;
    std::chrono::steady_clock::time_point last;
    boost::asio::ip::address asked;  ///< Of ours, where there are several.
  };
  using Flows = std::map<net::udp::endpoint, Flow>;

  std::size_t arrived(std::span<const net::Datagrams> datagrams);
  std::size_t from_client(const net::udp::endpoint& client,
                          std::span<const net::Datagrams> datagrams);
  std::size_t from_target(const net::udp::endpoint& client,
                          std::span<const net::Datagrams> datagrams);
  Flow* open_flow(const net::udp::endpoint& client);
  void end_flow(const net::udp::endpoint& client, bool cut);
  void wait_idle();
  void finish_if_empty();

  boost::asio::io_context& context_;
  DatagramSource source_;
  boost::asio::steady_timer timer_;
  const std::chrono::milliseconds idle_;
  Open open_;
  Flows flows_;
  bool draining_ = false;
  std::vector<std::function<void()>> closed_;
};

/// Carries what comes out of `stream` (datagram_frames.hpp) to `target` in datagrams, and the
/// answers back, until the stream ends or nothing has moved for `Options::flow_idle`. Keeps itself
/// alive.
void carry_datagrams(boost::asio::io_context& context, net::Fd stream, const Endpoint& target,
                     const Options& options, std::shared_ptr<Shaper> shaper);

}  // namespace scistream::relay

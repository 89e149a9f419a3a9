#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "base/endpoint.hpp"
#include "base/log.hpp"
#include "net/fd.hpp"
#include "net/tcp.hpp"

namespace scistream::relay {

/// One bound socket and its accept loop. A member of what takes the connections; handlers hold
/// `owner`. listen() may be called on any thread as long as the owner keeps it from meeting
/// close(); everything else lives on the thread of the context.
///
/// When descriptors or memory run out it waits, 10 ms doubling to 1 s, and goes on: clients stay in
/// the backlog meanwhile.
class Listener {
 public:
  /// What an accepted, non-blocking socket and its peer are handed to.
  using Accepted =
      std::function<void(std::size_t listener, net::Fd client, const net::tcp::endpoint& peer)>;

  /// `socket` is bound (net::bind_tcp); `accepted` outlives this object.
  Listener(boost::asio::io_context& context, net::Fd socket, std::size_t index, Endpoint bound,
           const Accepted& accepted, Logger log);

  /// From here the kernel takes connections into the backlog. Accepted sockets reset on close.
  Status listen(int backlog);
  /// Accepts from now on.
  void start(std::weak_ptr<void> owner);
  /// Frees the port; connections not yet accepted are reset by the kernel.
  void close();

  /// Where it is bound.
  [[nodiscard]] const Endpoint& bound() const noexcept { return bound_; }

 private:
  void wait();
  void accept();
  void back_off(int errnum);

  boost::asio::io_context& context_;
  net::Fd socket_;  ///< Until start().
  const std::size_t index_;
  const Endpoint bound_;
  const Accepted& accepted_;
  const Logger log_;
  std::weak_ptr<void> owner_;
  std::optional<boost::asio::posix::stream_descriptor> accepting_;
  std::optional<boost::asio::steady_timer> timer_;  ///< Only once something ran out.
  std::chrono::milliseconds backoff_{0};            ///< 0 while all is well.
};

}  // namespace scistream::relay

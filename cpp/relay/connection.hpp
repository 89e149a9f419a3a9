#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/endpoint.hpp"
#include "base/log.hpp"
#include "net/fd.hpp"
#include "relay/counters.hpp"
#include "relay/dialer.hpp"
#include "relay/pump.hpp"

namespace scistream::relay {

/// What is known about one live connection. Shared by the connection and whoever takes snapshots;
/// the first four are set before it is shared, the rest is atomic.
struct ConnectionRecord {
  std::uint64_t id = 0;
  std::size_t listener = 0;  ///< Index of the listener it came in by.
  std::string peer;
  std::string target;
  std::atomic<bool> dialled{false};
  Traffic traffic;
};

enum class ConnectionEnd {
  clean,  ///< Both sides sent FIN and everything before it was handed on.
  reset,  ///< Anything else. Both sides see a reset.
};

/// One client, one target, two pumps and a half-close rule: a FIN is passed on once the bytes
/// before it are, and only two of them end the connection cleanly. Kept alive by its own pending
/// handlers. Constructed on any thread, then everything on the thread of its context.
///
/// Until the clean end both sockets reset their peer when closed, so a crash, a kill -9 or a cut
/// never looks like the end of the data.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  /// `relay` must live until `ended` was called or the connection is destroyed; `ended` is called
  /// once, on the connection's thread, when both sockets are closed.
  Connection(boost::asio::io_context& context, net::Fd client, Endpoint target,
             const Options& options, std::shared_ptr<ConnectionRecord> record, Counters& relay,
             Logger log, std::function<void(ConnectionEnd)> ended);

  /// Starts to dial; the client stays unread until the target answers.
  void start();

  /// Resets both sides now.
  void reset() { end(ConnectionEnd::reset); }

  [[nodiscard]] boost::asio::io_context& context() const noexcept { return context_; }

 private:
  using tcp = boost::asio::ip::tcp;

  void dialled(const std::string& error, tcp::socket target);
  void pumped(tcp::socket& destination, PumpEnd how);
  void watch_for_reset(tcp::socket& socket);
  void end(ConnectionEnd how);

  boost::asio::io_context& context_;
  net::Fd accepted_;  ///< Until start().
  const std::shared_ptr<ConnectionRecord> record_;
  const Logger log_;
  std::function<void(ConnectionEnd)> ended_;
  tcp::socket client_;
  tcp::socket target_;
  Dialer dialer_;
  Pump to_target_;
  Pump to_client_;
  int finished_pumps_ = 0;
};

}  // namespace scistream::relay

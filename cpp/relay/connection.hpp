#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
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
#include "relay/transport.hpp"

namespace scistream::relay {

/// What is known about one live connection. Shared by the connection and whoever takes snapshots;
/// those that are not atomic are set before it is shared, the rest is atomic.
struct ConnectionRecord {
  std::uint64_t id = 0;
  std::size_t listener = 0;  ///< Index of the listener it came in by.
  std::string peer;
  std::string address;  ///< Of the peer, as the gate knows it.
  std::string client;   ///< What those have in common that are dialled in the order they came.
  std::string target;
  std::atomic<bool> admitted{false};  ///< Its peer may use it.
  std::atomic<bool> dialled{false};
  bool datagrams = false;  ///< What is accepted is a stream of their frames.
  Traffic traffic;
};

enum class ConnectionEnd {
  clean,    ///< Both sides have ended and everything before it was handed on.
  refused,  ///< Its peer did not prove that it may use it; nothing was dialled.
  silent,   ///< As refused, because it took too long.
  reset,    ///< Anything else. Both sides see a reset.
};

/// One client, one target, two pumps and a half-close rule: the end of a stream is passed on once
/// the bytes before it are, and only two of them end the connection cleanly. One of the two sides
/// is a link over the WAN, the other a socket. Kept alive by its own pending handlers. Constructed
/// on any thread, then everything on the thread of its context.
///
/// Until the clean end both sides reset their peer when closed, so a crash, a kill -9 or a cut
/// never looks like the end of the data.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Events {
    /// It could dial: whether it may at once (DialOrder::ready).
    std::function<bool(std::function<void()> go)> ready;
    /// It has waited long enough: whether it need not wait any more (DialOrder::jump).
    std::function<bool()> jump;
    /// It dials, or never will.
    std::function<void()> dialling;
    /// Its peer may use it. Once, unless it ends before.
    std::function<void()> admitted;
    /// Both sides are closed. Once; `why` says more of a refusal.
    std::function<void(ConnectionEnd how, const std::string& why)> ended;
  };

  /// `options` and `relay` must live until `ended` was called or the connection is destroyed.
  Connection(boost::asio::io_context& context, net::Fd client, Endpoint target,
             const TransportPtr& transport, const Options& options,
             std::shared_ptr<ConnectionRecord> record, std::shared_ptr<Shaping> shaping,
             Counters& relay, Logger log, Events events);

  /// Lets the client prove itself if it has to, then dials; it stays unread until the target
  /// answers.
  void start();

  /// Instead of start(): goes on where another was saved, whose client this one was given.
  void resume(LinkState link);
  /// Takes out what it needs to go on elsewhere, and ends here, cleanly and unseen by its peers.
  /// Nothing, and it goes on, while it does not carry yet, and of datagrams.
  std::optional<ConnectionState> save();

  /// Refuses a peer that has not proved itself yet, for the sake of others.
  void make_room();
  /// Resets both sides now.
  void reset() { end(ConnectionEnd::reset); }

  [[nodiscard]] boost::asio::io_context& context() const noexcept { return context_; }

 private:
  using tcp = boost::asio::ip::tcp;

  [[nodiscard]] Link::Events link_events();
  void admit();
  void link_opened(const std::string& error);
  /// The near side is made of datagrams.
  void carry_datagrams();
  /// Dials once those have that came before.
  void dial_in_turn();
  void dial();
  void near_dialled(const std::string& error, tcp::socket target);
  /// Tells a target that has just been dialled who has connected; whether it took that.
  [[nodiscard]] bool announce();
  void retrying(const std::string& error);
  void unreachable(const std::string& error);
  void carry();
  void pumped(Direction direction, PumpEnd how);
  void end(ConnectionEnd how, const std::string& why = {});

  boost::asio::io_context& context_;
  net::Fd accepted_;  ///< Until start().
  /// What its target is told first; empty: nothing.
  const std::string announcement_;
  const Endpoint target_;
  const TransportPtr transport_;
  const std::shared_ptr<Shaping> shaping_;
  const Options& options_;
  const std::shared_ptr<ConnectionRecord> record_;
  const Logger log_;
  Events events_;  ///< `ended` is empty once it has ended.
  boost::asio::steady_timer turn_;
  tcp::socket near_;
  Dialer near_dialer_;  ///< Where the near side is the dialled one.
  std::unique_ptr<Link> link_;
  bool carries_ = false;
  int finished_directions_ = 0;
};

}  // namespace scistream::relay

#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/endpoint.hpp"
#include "net/fd.hpp"
#include "relay/counters.hpp"
#include "relay/options.hpp"
#include "relay/pump.hpp"
#include "relay/shaper.hpp"

namespace scistream::relay {

/// Which side of a relayed connection.
enum class Side {
  accepted,  ///< It came in by a listener.
  dialled,   ///< It goes out to a target.
};

/// The way bytes go that leave by this side.
constexpr Direction towards(Side side) noexcept {
  return side == Side::accepted ? Direction::to_client : Direction::to_target;
}

/// The far side of one application connection: whatever carries its bytes over the WAN, on one
/// socket or on several. Belongs to the connection, lives on the thread of its context, and keeps
/// the connection alive through its pending handlers.
class Link {
 public:
  virtual ~Link() = default;

  struct Events {
    /// It can carry bytes: empty; or why it never will. Once.
    std::function<void(const std::string& error)> opened;
    /// The target is being dialled. At most once.
    std::function<void()> dialling;
    /// The target is not there yet, and is dialled again. At most once.
    std::function<void(const std::string& error)> retrying;
    /// Everything of one direction has been handed on, or has failed. Once for each.
    std::function<void(Direction direction, PumpEnd how)> ended;
    /// The peer has reset it.
    std::function<void()> broken;
  };

  /// Takes over a connection that came in. `owner` is held by every handler.
  virtual void accept(net::Fd socket, std::weak_ptr<void> owner, Events events) = 0;
  /// Connects to `target`, over and over until the deadline of the options.
  virtual void dial(const Endpoint& target, std::weak_ptr<void> owner, Events events) = 0;

  /// Once opened: moves bytes between `near` and the far end, both ways. The end of the stream of
  /// `near` is passed on by the link; that of the far end is the owner's to pass on to `near`.
  virtual void carry(boost::asio::ip::tcp::socket& near) = 0;

  /// Once it carries: stops, and takes out all that it needs to go on elsewhere. No event comes any
  /// more. Nothing, and it goes on as before, where that cannot be done.
  virtual std::optional<LinkState> save() = 0;
  /// Instead of accept() or dial(), opened() and carry(): goes on where one was saved. Throws if
  /// the state is not of this kind of link.
  virtual void resume(LinkState state, boost::asio::ip::tcp::socket& near,
                      std::weak_ptr<void> owner, Events events) = 0;

  /// Once opened, of one that came in: it carries frames of datagrams.
  [[nodiscard]] virtual bool carries_datagrams() const { return false; }
  /// It was not opened because its peer took too long.
  [[nodiscard]] virtual bool is_late() const { return false; }
  /// Its peer has made this end work for its proof.
  [[nodiscard]] virtual bool has_begun() const { return false; }
  /// Why it failed, where the socket does not say; empty otherwise.
  [[nodiscard]] virtual std::string why() const { return {}; }

  /// Ends it without another event; unless `clean`, the peer sees a reset.
  virtual void close(bool clean) noexcept = 0;
};

/// What a link is told of the connection it belongs to. All of it outlives the link.
struct LinkSetup {
  boost::asio::io_context& context;
  const Options& options;
  bool datagrams = false;  ///< Its near side is a stream of frames (datagram_frames.hpp).
  Shaping& shaping;
  Traffic& connection;
  Traffic& relay;
};

/// How a relay's connections cross the WAN. Immutable; any thread; shared by a relay and its
/// connections.
class Transport {
 public:
  virtual ~Transport() = default;

  /// `tcp`, …
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;
  /// Which side of the connections is far.
  [[nodiscard]] virtual Side far_side() const noexcept = 0;
  [[nodiscard]] virtual bool encrypts() const noexcept { return false; }
  /// Whoever connects from afar has to prove that they may.
  [[nodiscard]] virtual bool asks_for_proof() const noexcept { return false; }

  /// Datagrams cross the WAN in frames on a link of their own; else as datagrams.
  [[nodiscard]] virtual bool frames_datagrams() const noexcept { return false; }

  [[nodiscard]] virtual std::unique_ptr<Link> link(const LinkSetup& setup) const = 0;
};

using TransportPtr = std::shared_ptr<const Transport>;

/// Bytes as they are, for networks that are trusted.
TransportPtr tcp_transport(Side far_side);

}  // namespace scistream::relay

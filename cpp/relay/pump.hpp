#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "relay/batching.hpp"
#include "relay/counters.hpp"
#include "relay/options.hpp"
#include "relay/shaper.hpp"
#include "relay/transit.hpp"

namespace scistream::relay {

/// How one direction ended.
enum class PumpEnd {
  finished,            ///< The source's stream has ended and every byte of it is with the kernel.
  source_failed,       ///< Reading failed: the source was reset or timed out.
  destination_failed,  ///< Writing failed.
};

/// Calls `broken` when `socket` fails, whether or not anybody reads or writes it: nobody looks at a
/// client while its target is dialled, nor a pump at its source while it waits for its destination.
void watch_for_reset(boost::asio::ip::tcp::socket& socket, std::shared_ptr<void> owner,
                     std::function<void()> broken);

/// One direction of a connection: moves bytes from source to destination until the source's end.
/// A member of what owns both sockets; every handler holds `owner`, so both outlive it. All on the
/// thread of the sockets' context.
///
/// Back-pressure: while the destination takes no bytes nothing is read, so what is in flight never
/// exceeds one batch. Interest is one-shot: a wait is pending only while its event is wanted.
class Pump {
 public:
  using Socket = boost::asio::ip::tcp::socket;

  Pump(boost::asio::io_context& context, Socket& source, Socket& destination, Direction direction,
       std::unique_ptr<Transit> transit, const Options& options, Shaper& shaper,
       Traffic& connection, Traffic& relay);
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  /// Waits for the first bytes. `done` is called once, from a handler, unless stop() comes first.
  /// `broken` is called when the source is reset while the pump does not read it, at any time until
  /// its socket is closed: while it waits for its destination or its turn, and after `done`.
  void start(std::weak_ptr<void> owner, std::function<void(PumpEnd)> done,
             std::function<void()> broken);

  /// Instead of start(): goes on where another was saved.
  void resume(std::weak_ptr<void> owner, std::function<void(PumpEnd)> done,
              std::function<void()> broken, const PumpState& state);

  /// Stops and takes out what is in transit; `done` is never called. The sockets are as good as new
  /// for somebody else.
  PumpState save();

  /// Throws away what is in transit and never calls `done`; the owner then closes the sockets.
  void stop() noexcept;

 private:
  void wait_source();
  void wait_destination();
  void watch_source();
  void turn(bool source_ready);
  std::optional<PumpEnd> forward(bool source_ready, std::size_t& moved);
  void count();
  enum class Drained { all, blocked, early, failed };
  Drained drain(std::size_t& moved);
  /// Books the next piece of what is in transit; whether it may go at once.
  bool may_go();
  void wait_turn();

  Socket& source_;
  Socket& destination_;
  const Direction direction_;
  const std::size_t turn_bytes_;
  Shaper& shaper_;
  Traffic& connection_;
  Traffic& relay_;
  const std::unique_ptr<Transit> transit_;
  Batching batching_;
  std::weak_ptr<void> owner_;
  std::function<void(PumpEnd)> done_;
  std::function<void()> broken_;
  std::size_t delivered_ = 0;       ///< Bytes not counted yet.
  std::size_t booked_ = 0;          ///< Bytes of what is in transit that may go,
  unsigned changes_ = 0;            ///< Of the rate, when it was booked.
  Shaper::clock::time_point turn_;  ///< from now on.
  std::optional<boost::asio::steady_timer> turn_timer_;  ///< Only once it had to wait.
  bool running_ = false;
  bool watching_ = false;   ///< The source, for a reset.
  bool finishing_ = false;  ///< The source has ended; what is in transit is the last.
};

}  // namespace scistream::relay

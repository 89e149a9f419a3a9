#pragma once

#include <sys/uio.h>

#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "net/destinations.hpp"
#include "net/fd.hpp"
#include "net/udp.hpp"
#include "relay/shaper.hpp"

namespace scistream::relay {

/// The reader of one I/O context's datagrams, owned by the context and found with
/// `boost::asio::use_service<DatagramMemory>(context)`: what it read is handed on before anything
/// else is read. Touched by the context's thread only.
class DatagramMemory final : public boost::asio::execution_context::service {
 public:
  using key_type = DatagramMemory;
  static boost::asio::execution_context::id id;

  explicit DatagramMemory(boost::asio::execution_context& context) : service(context) {}
  net::DatagramReader reader;

 private:
  void shutdown() override {}
};

/// Told of datagrams as they come, which are gone when it returns; the bytes that went on.
using Arrived = std::function<std::size_t(std::span<const net::Datagrams>)>;

/// Reads a UDP socket batch after batch, no faster than its shaper allows: what has to wait stays
/// in the socket, and what does not fit there is lost. A member of what owns it; handlers hold
/// `owner`. On the thread of the context.
class DatagramSource {
 public:
  /// `shaper` may be null.
  DatagramSource(boost::asio::io_context& context, std::shared_ptr<Shaper> shaper);

  void start(net::Fd socket, std::weak_ptr<void> owner, Arrived arrived);
  void close() noexcept;
  [[nodiscard]] bool is_open() const noexcept { return socket_.is_open(); }
  [[nodiscard]] int socket() { return socket_.native_handle(); }

 private:
  void wait();
  void read();
  void wait_turn(Shaper::clock::time_point turn, unsigned changes);

  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer turn_;
  net::DatagramReader& reader_;
  const std::shared_ptr<Shaper> shaper_;
  std::weak_ptr<void> owner_;
  Arrived arrived_;
  bool joined_ = true;  ///< Several datagrams may come as one.
  std::size_t room_ = net::most_room;
};

/// Where the datagrams of one flow go to and its answers come from. On the thread of its context;
/// handlers hold `owner`.
class DatagramEnd {
 public:
  virtual ~DatagramEnd() = default;
  /// `ended` comes at most once, of what ends by itself.
  virtual void start(std::weak_ptr<void> owner, Arrived arrived, std::function<void()> ended) = 0;
  /// What it cannot take at once is lost; bytes that it took.
  virtual std::size_t send(std::span<const net::Datagrams> datagrams) = 0;
  /// No event comes after this.
  virtual void close() noexcept = 0;
};

/// A socket that is connected to `target`, whose name is looked up first: until then 256 KiB wait.
class UdpEnd final : public DatagramEnd {
 public:
  /// `shaper`: of what comes back; may be null. `allowed`: where the target may be; empty:
  /// anywhere.
  UdpEnd(boost::asio::io_context& context, Endpoint target, std::shared_ptr<Shaper> shaper,
         std::shared_ptr<const net::SharedDestinations> allowed);

  void start(std::weak_ptr<void> owner, Arrived arrived, std::function<void()> ended) override;
  std::size_t send(std::span<const net::Datagrams> datagrams) override;
  void close() noexcept override;

 private:
  void connect(const boost::asio::ip::address& address);

  const Endpoint target_;
  const std::shared_ptr<const net::SharedDestinations> allowed_;
  boost::asio::ip::tcp::resolver resolver_;
  DatagramSource source_;
  std::weak_ptr<void> owner_;
  Arrived arrived_;
  std::function<void()> ended_;
  std::vector<std::vector<std::uint8_t>> waiting_;
  std::size_t waiting_bytes_ = 0;
  bool closed_ = false;
};

/// One end of a local stream whose other end somebody carries to the peer (datagram_frames.hpp).
class StreamEnd final : public DatagramEnd {
 public:
  /// `shaper`: of what is sent, which limits it behind the other end; may be null.
  StreamEnd(boost::asio::io_context& context, net::Fd stream, std::shared_ptr<Shaper> shaper);

  void start(std::weak_ptr<void> owner, Arrived arrived, std::function<void()> ended) override;
  std::size_t send(std::span<const net::Datagrams> datagrams) override;
  void close() noexcept override;

  /// Both ends of a local stream; empty without descriptors.
  static std::optional<std::pair<net::Fd, net::Fd>> pair();

 private:
  void wait_readable();
  void read();
  void send_pieces(std::span<iovec> pieces);
  void wait_writable();
  void flush();
  void end();

  boost::asio::posix::stream_descriptor stream_;
  const std::shared_ptr<Shaper> shaper_;
  std::size_t room_ = 0;
  std::weak_ptr<void> owner_;
  Arrived arrived_;
  std::function<void()> ended_;
  std::vector<std::uint8_t>
      unsent_;            ///< Whole frames, and the rest of one of which a part is sent,
  std::size_t sent_ = 0;  ///< from here on.
  std::unique_ptr<std::uint8_t[]> buffer_;
  std::size_t have_ = 0;
  std::vector<net::Datagrams> found_;
};

}  // namespace scistream::relay

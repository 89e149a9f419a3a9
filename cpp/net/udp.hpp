#pragma once

#include <sys/socket.h>

#include <array>
#include <boost/asio/ip/udp.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/error.hpp"
#include "net/fd.hpp"

namespace scistream::net {

using boost::asio::ip::udp;

/// The largest datagram of IP.
inline constexpr std::size_t most_datagram = 65'507;

/// A non-blocking, close-on-exec UDP socket bound to `address`, exclusively. Errors as `bind_tcp`.
Result<Fd> bind_udp(const udp::endpoint& address);

/// As bind_udp, of any port, and connected: only `peer`'s datagrams arrive.
Result<Fd> connect_udp(const udp::endpoint& peer);

/// Datagrams of one sender that follow each other in memory: all have `segment` bytes but the last,
/// which may be shorter.
struct Datagrams {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;  ///< Of all of them; may be 0, which is one empty datagram.
  std::size_t segment = 0;
  udp::endpoint from;

  [[nodiscard]] std::size_t count() const noexcept {
    return size <= segment ? 1 : (size + segment - 1) / segment;
  }
};

/// Takes datagrams from sockets, many a system call. Not thread-safe; 2 MiB once it is used.
class DatagramReader {
 public:
  static constexpr std::size_t most = 32;

  /// What the socket has, from `wanted` receives at most, in order: valid until the next call.
  /// Empty, and errno, if there is nothing.
  std::span<const Datagrams> receive(int socket, std::size_t wanted = most);

 private:
  static constexpr std::size_t slot = 1U << 16U;
  std::unique_ptr<std::uint8_t[]> memory_;
  std::array<Datagrams, most> received_;
};

/// Sends datagrams in order, to `to` or, where that is null, to whom the socket is connected. What
/// the kernel does not take is lost, as it would be on the way; bytes that it took.
std::size_t send_datagrams(int socket, std::span<const Datagrams> datagrams,
                           const udp::endpoint* to = nullptr) noexcept;

}  // namespace scistream::net

#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
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

/// The largest datagram of IPv6; that of IPv4 has 20 bytes less.
inline constexpr std::size_t most_datagram = 65'527;

/// A non-blocking, close-on-exec UDP socket bound to `address`, exclusively. Errors as `bind_tcp`.
Result<Fd> bind_udp(const udp::endpoint& address);

/// As bind_udp, of any port, and connected: only `peer`'s datagrams arrive.
Result<Fd> connect_udp(const udp::endpoint& peer);

/// Whether the kernel may give several datagrams of one sender as one; on for new sockets.
void join_datagrams(int socket, bool on) noexcept;
/// Room for so many bytes that wait at a socket: those that came, and those that are to go. Of a
/// new socket of datagrams it is `most_room`; without privileges the system allows less.
void keep_received(int socket, std::size_t bytes) noexcept;
void keep_unsent(int socket, std::size_t bytes) noexcept;
inline constexpr std::size_t most_room = 4U << 20U;

/// Datagrams of one sender that follow each other in memory: all have `segment` bytes but the last,
/// which may be shorter.
struct Datagrams {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;  ///< Of all of them; may be 0, which is one empty datagram.
  std::size_t segment = 0;
  udp::endpoint from;
  /// The address of ours that they were sent to, where the socket is bound to all of them; else
  /// unspecified.
  boost::asio::ip::address to = {};

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

/// Gives the bytes of each of them to `take`, in order, until it returns false.
template <class Take>
void for_each_datagram(const Datagrams& joined, Take take) {
  std::size_t offset = 0;
  do {
    const std::size_t size = std::min(joined.segment, joined.size - offset);
    if (!take(std::span(joined.data + offset, size))) return;
    offset += size;
  } while (offset < joined.size);
}

/// Sends datagrams in order, to `to` or, where that is null, to whom the socket is connected; from
/// the address `from`, or whichever the route has. What the kernel does not take is lost, as it
/// would be on the way; bytes that it took.
std::size_t send_datagrams(int socket, std::span<const Datagrams> datagrams,
                           const udp::endpoint* to = nullptr,
                           const boost::asio::ip::address& from = {}) noexcept;

}  // namespace scistream::net

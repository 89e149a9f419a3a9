#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"

namespace scistream::net {

/// What the kernel knows of one TCP connection of this host's (sock_diag(7), tcp(7)).
struct SocketStatistics {
  std::uint64_t id = 0;  ///< The kernel's cookie: no other socket gets it until the next boot.
  Endpoint local;
  Endpoint peer;
  /// One more for a moment when the other end has ended its direction.
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_acknowledged = 0;  ///< Of what was sent.
  std::uint32_t bytes_unread = 0;        ///< Received, and not yet read by its program.
  std::chrono::milliseconds idle{0};     ///< Since data last came or went.
};

/// Every TCP connection of this network namespace, of either family, whose local port `wanted` is
/// true for, and that its program still has: established, or with one direction ended. Reads them
/// in one go; needs no privilege.
Result<std::vector<SocketStatistics>> tcp_connections(
    const std::function<bool(std::uint16_t local_port)>& wanted);

}  // namespace scistream::net

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "dataserver/data_server.hpp"
#include "net/bound_ports.hpp"
#include "net/fd.hpp"
#include "net/tcp.hpp"

namespace scistream::dataserver {

/// Finds free ports by binding them: the kernel alone knows what other processes hold, and a port
/// is given back by closing its socket, so none can be lost or returned twice. Not thread-safe.
///
/// Each range is searched from behind the last port taken of it: one just freed comes last, and a
/// late client of an ended session does not meet a new one.
class PortPool {
 public:
  /// Those that a session wants.
  Result<net::BoundPorts> take(const ReserveRequest& request);

  /// `count` bound ports on `host`, whose port is ignored. Ports held by others
  /// or not allowed to this process are skipped. `exhausted` if too few are left, in the range or
  /// of descriptors; then none stays bound.
  Result<net::BoundPorts> take(const net::tcp::endpoint& host, PortRange range, std::size_t count,
                               bool datagrams = false);

  /// Sockets bound to exactly these ports, in this order, or `exhausted` and none.
  static Result<net::BoundPorts> take_exactly(const net::tcp::endpoint& host,
                                              std::span<const std::uint16_t> ports,
                                              bool datagrams = false);

 private:
  std::map<PortRange, int> next_;  ///< Offset into each range where the next search starts.
};

}  // namespace scistream::dataserver

#pragma once

#include <vector>

#include "base/error.hpp"
#include "net/fd.hpp"
#include "net/tcp.hpp"

namespace scistream::net {

/// Bound sockets: of connections and, if it takes any, of datagrams at the same ports.
struct BoundPorts {
  std::vector<Fd> listeners;
  std::vector<Fd> datagrams;

  /// Binds one more port (bind_tcp, bind_udp); none stays bound of one that fails.
  Status bind(const tcp::endpoint& address, bool with_datagrams);
};

}  // namespace scistream::net

#pragma once

#include <chrono>
#include <vector>

#include "base/error.hpp"
#include "net/socket_statistics.hpp"

namespace scistream::proxy {

/// The machine's TCP connections, for all sessions of a data server that want to count theirs: read
/// anew no more than a few times a second, since that takes a gateway with thousands of them
/// milliseconds. Not thread-safe.
class SocketTable {
 public:
  /// As they are, or were a moment ago.
  Result<const std::vector<net::SocketStatistics>*> look();

 private:
  std::vector<net::SocketStatistics> sockets_;
  std::chrono::steady_clock::time_point read_at_;
};

}  // namespace scistream::proxy

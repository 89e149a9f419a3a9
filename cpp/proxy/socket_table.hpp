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
  using Time = std::chrono::steady_clock::time_point;

  /// As they are, or were a moment ago, but not before `since`: who counts for a program that has
  /// just started must not meet those of the one before it.
  Result<const std::vector<net::SocketStatistics>*> look(Time since = {});

 private:
  std::vector<net::SocketStatistics> sockets_;
  Time read_at_;
};

}  // namespace scistream::proxy

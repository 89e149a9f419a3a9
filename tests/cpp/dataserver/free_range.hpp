#pragma once

#include <unistd.h>

#include <stdexcept>
#include <vector>

#include "net/sockets.hpp"

namespace scistream::test {

/// `size` ports in a row that are free on 127.0.0.1, below the kernel's own range so that no
/// connection takes one. Tests run side by side, so each process starts to look elsewhere.
inline PortRange free_range(int size) {
  constexpr int low = 10'000;
  constexpr int high = 32'000;
  static int next = low + static_cast<int>(::getpid()) * 97 % (high - low);
  for (int tries = 0; tries < high - low; ++tries) {
    if (next + size > high) next = low;
    const PortRange range{static_cast<std::uint16_t>(next),
                          static_cast<std::uint16_t>(next + size - 1)};
    next += size;
    std::vector<net::Fd> held;
    for (int port = range.first; port <= range.last; ++port) {
      auto socket = net::bind_tcp(address_of({"127.0.0.1", static_cast<std::uint16_t>(port)}));
      if (!socket) break;
      held.push_back(std::move(*socket));
    }
    if (static_cast<int>(held.size()) == size) return range;
  }
  throw std::runtime_error("no free range of ports");
}

}  // namespace scistream::test

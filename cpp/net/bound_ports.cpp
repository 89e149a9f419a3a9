#include "net/bound_ports.hpp"

#include <utility>

#include "net/udp.hpp"

namespace scistream::net {

Status BoundPorts::bind(const tcp::endpoint& address, bool with_datagrams) {
  // Of any free port the first one may be in use for datagrams.
  for (int attempt = 0;; ++attempt) {
    auto listener = bind_tcp(address);
    if (!listener) return listener.error();
    if (!with_datagrams) {
      listeners.push_back(std::move(*listener));
      return {};
    }
    const auto bound = bound_address(listener->get());
    if (!bound) return bound.error();
    auto socket = bind_udp({bound->address(), bound->port()});
    if (socket) {
      listeners.push_back(std::move(*listener));
      datagrams.push_back(std::move(*socket));
      return {};
    }
    constexpr int attempts = 16;
    if (address.port() != 0 || attempt == attempts) return socket.error();
  }
}

}  // namespace scistream::net

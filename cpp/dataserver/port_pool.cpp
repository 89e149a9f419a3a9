#include "dataserver/port_pool.hpp"

#include <string>
#include <utility>

namespace scistream::dataserver {

namespace {

net::tcp::endpoint with_port(net::tcp::endpoint host, std::uint16_t port) {
  host.port(port);
  return host;
}

Error out_of_descriptors(std::size_t wanted, const Error& why) {
  return {Cause::exhausted, "cannot open " + std::to_string(wanted) + " listeners: " + why.message +
                                "; raise the limit on open files (ulimit -n, LimitNOFILE=)"};
}

/// Another socket has the port, or this process may not have it: the next may be free.
bool is_held(const Error& error) {
  return error.cause == Cause::already_exists || error.cause == Cause::permission_denied;
}

}  // namespace

Result<std::vector<net::Fd>> PortPool::take(const net::tcp::endpoint& host, PortRange range,
                                            std::size_t count) {
  std::vector<net::Fd> taken;
  int& next = next_[range];
  int offset = next;
  for (int tried = 0; tried < range.size() && taken.size() < count; ++tried) {
    const auto port = static_cast<std::uint16_t>(range.first + offset);
    offset = (offset + 1) % range.size();
    auto socket = net::bind_tcp(with_port(host, port));
    if (socket) {
      taken.push_back(std::move(*socket));
    } else if (socket.error().cause == Cause::exhausted) {
      return out_of_descriptors(count, socket.error());
    } else if (!is_held(socket.error())) {
      return socket.error();
    }
  }
  if (taken.size() < count) {
    return Error{Cause::exhausted, std::to_string(count) + " listeners wanted, " +
                                       std::to_string(taken.size()) + " of range " +
                                       to_string(range) + " are free"};
  }
  next = offset;
  return taken;
}

Result<std::vector<net::Fd>> PortPool::take_exactly(const net::tcp::endpoint& host,
                                                    std::span<const std::uint16_t> ports) {
  std::vector<net::Fd> taken;
  for (const std::uint16_t port : ports) {
    auto socket = net::bind_tcp(with_port(host, port));
    if (socket) {
      taken.push_back(std::move(*socket));
    } else if (is_held(socket.error())) {
      return Error{Cause::exhausted, socket.error().message};
    } else if (socket.error().cause == Cause::exhausted) {
      return out_of_descriptors(ports.size(), socket.error());
    } else {
      return socket.error();
    }
  }
  return taken;
}

}  // namespace scistream::dataserver

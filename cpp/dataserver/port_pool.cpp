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

Result<net::BoundPorts> PortPool::take(const ReserveRequest& request) {
  const auto host = net::local_endpoint({request.bind_host, 0});
  if (!host) return host.error();
  if (!request.exact_ports.empty())
    return take_exactly(host.value(), request.exact_ports, request.datagrams);
  return take(host.value(), request.ports, static_cast<std::size_t>(request.num_conn),
              request.datagrams);
}

Result<net::BoundPorts> PortPool::take(const net::tcp::endpoint& host, PortRange range,
                                       std::size_t count, bool datagrams) {
  net::BoundPorts taken;
  int& next = next_[range];
  int offset = next;
  for (int tried = 0; tried < range.size() && taken.listeners.size() < count; ++tried) {
    const auto port = static_cast<std::uint16_t>(range.first + offset);
    offset = (offset + 1) % range.size();
    const Status bound = taken.bind(with_port(host, port), datagrams);
    if (bound) continue;
    if (bound.error().cause == Cause::exhausted) {
      return out_of_descriptors(count, bound.error());
    } else if (!is_held(bound.error())) {
      return bound.error();
    }
  }
  if (taken.listeners.size() < count) {
    return Error{Cause::exhausted, std::to_string(count) + " listeners wanted, " +
                                       std::to_string(taken.listeners.size()) + " of range " +
                                       to_string(range) + " are free"};
  }
  next = offset;
  return taken;
}

Result<net::BoundPorts> PortPool::take_exactly(const net::tcp::endpoint& host,
                                               std::span<const std::uint16_t> ports,
                                               bool datagrams) {
  net::BoundPorts taken;
  for (const std::uint16_t port : ports) {
    const Status bound = taken.bind(with_port(host, port), datagrams);
    if (bound) continue;
    if (is_held(bound.error())) {
      return Error{Cause::exhausted, bound.error().message};
    } else if (bound.error().cause == Cause::exhausted) {
      return out_of_descriptors(ports.size(), bound.error());
    } else {
      return bound.error();
    }
  }
  return taken;
}

}  // namespace scistream::dataserver

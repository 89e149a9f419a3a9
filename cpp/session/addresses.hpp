#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "scistream/session_key.hpp"

namespace scistream::session {

/// Where a facility's listeners are bound and how others must call them (PROTOCOL §7, Addresses).
/// Immutable once the server runs.
struct Addresses {
  /// One network side of the gateway: WAN for producer sessions, LAN for consumer sessions.
  struct Side {
    std::string bind_host;       ///< Local address, or a wildcard.
    std::string announced_host;  ///< Empty: the local address of the route to the caller.
  };

  Side wan;
  Side lan;
  PortRange ports;
  std::uint16_t announced_first_port = 0;  ///< What `ports.first` is called outside; 0: the same.
  /// The local address that packets to a caller leave from; used for empty announced hosts.
  std::function<std::string(const std::string& caller_host)> route_source;

  [[nodiscard]] const Side& side(Role role) const { return role == Role::producer ? wan : lan; }

  /// `host:port` of bound ports as a caller must use them.
  [[nodiscard]] std::vector<std::string> announce(Role role,
                                                  const std::vector<std::uint16_t>& bound,
                                                  const std::string& caller_host) const;
};

}  // namespace scistream::session

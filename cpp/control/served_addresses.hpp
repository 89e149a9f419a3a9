#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "session/addresses.hpp"

namespace scistream::control {

/// What the operator of a control server said of its addresses.
struct AddressOptions {
  std::string listener_ip;
  std::string wan_ip;     ///< Empty: listener_ip.
  std::string lan_ip;     ///< Empty: listener_ip.
  std::string advertise;  ///< HOST[:FIRSTPORT], or empty.
  PortRange port_range;
  /// Callers from other machines are served, though nothing tells who they are.
  bool serves_anyone = false;
};

/// What follows from it.
struct ServedAddresses {
  std::vector<std::string> hosts;  ///< To bind the control port on.
  std::string announced_host;      ///< Empty: that of the route to the caller.
  session::Addresses sessions;     ///< What the sessions' listeners bind and announce.
};

/// Decides what is bound and what is announced (PROTOCOL §7, Addresses), and says in the log where
/// that is not what was asked for. `invalid_argument` names the option's value,
/// `permission_denied` an address that needs `serves_anyone`. May ask the resolver.
Result<ServedAddresses> served_addresses(const AddressOptions& options, const Logger& log);

}  // namespace scistream::control

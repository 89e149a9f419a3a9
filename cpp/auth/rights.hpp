#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "auth/identity.hpp"
#include "base/endpoint.hpp"
#include "net/destinations.hpp"
#include "session/types.hpp"

namespace scistream::auth {

/// What somebody may do at a control server. By default what any user may: have sessions of their
/// own in both roles, as the facility allows.
struct Rights {
  bool produce = true;                       ///< Request sessions as PROD,
  bool consume = true;                       ///< and as CONS.
  std::optional<PortRange> ports;            ///< Their listeners have ports of this range.
  std::optional<int> most_connections;       ///< Listeners of one session.
  std::optional<long long> most_mbps;        ///< They name a rate, which is no higher.
  std::optional<std::size_t> most_sessions;  ///< At a time.
  /// Where producer applications may be; empty: wherever the facility allows.
  std::vector<net::Destination> targets;
  bool sees = false;         ///< Sessions of others,
  bool releases = false;     ///< and may end them,
  bool administers = false;  ///< and do whatever their owners may.
};

/// Whether such a session may be asked for: `permission_denied` says what may be. Narrows the ports
/// that it takes.
Status admit(const Rights& rights, session::Request& request);
/// The same of a rate that a session is to have. Makes it a cap at the least, which it is then
/// where there is no capacity to lease from, too.
Status admit(const Rights& rights, session::Rate& rate);

/// Whom the sessions of that identity belong to, and what else they may do. Issuers and subjects
/// cannot be made up to look like others'.
session::Principal principal_of(const Identity& who, const Rights& rights);

}  // namespace scistream::auth

#pragma once

#include <string>
#include <vector>

#include "client/user_client.hpp"
#include "scistream/user_client.hpp"

namespace scistream::sdk {

/// What servers say of themselves and of sessions, as users of the library see it. An address that
/// cannot be read is shown as a host without a port.
std::vector<Endpoint> shown_endpoints(const std::vector<std::string>& texts);
/// The same of addresses that are to be used: `failure` for one that cannot be read.
Result<std::vector<Endpoint>> usable_endpoints(const std::vector<std::string>& texts);
StateChange to_public(const client::StateChange& change);
SessionStatus to_public(const session::SessionView& view);
std::vector<SessionStatus> to_public(const std::vector<session::SessionView>& views);
std::vector<RequestedSession> to_public(const client::SessionList& list);
SessionEvent to_public(const session::SessionEvent& event);
ServerInfo to_public(const control::ServerInfo& info);

/// What the facilities say of one session, in one. Not of nothing.
SessionStats stats_of(const std::vector<SessionStatus>& sides);

}  // namespace scistream::sdk

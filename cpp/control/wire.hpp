#pragma once

// Protobuf messages to the house's own types and back, and nothing else.
#include "control/grpc.hpp"
#include "dataserver/data_server.hpp"
#include "session/types.hpp"

namespace scistream::control {

Result<session::Request> from_wire(const Request& message);
Request to_wire(const session::Request& request);

/// An unknown or missing role is no error: it is advisory.
session::Hello from_wire(const Hello& message);
Hello to_wire(const session::Hello& hello);

Result<session::UpdateTargets> from_wire(const UpdateTargets& message);
UpdateTargets to_wire(const session::UpdateTargets& update);

void to_wire(const session::SessionView& view, Session* message);
session::SessionView from_wire(const Session& message);

Result<SessionKey> from_wire(const DataSessionKey& message);
void to_wire(const SessionKey& key, DataSessionKey* message);

Result<dataserver::ReserveRequest> from_wire(const ReserveListeners& message);
ReserveListeners to_wire(const dataserver::ReserveRequest& request);

Result<dataserver::UpdateRequest> from_wire(const SetTargets& message);
SetTargets to_wire(const dataserver::UpdateRequest& request);

void to_wire(const dataserver::SessionStatus& status, DataSession* message);
Result<dataserver::SessionStatus> from_wire(const DataSession& message);

void to_wire(const dataserver::Released& released, ReleasedListeners* message);
Result<dataserver::Released> from_wire(const ReleasedListeners& message);

void to_wire(const dataserver::Event& event, DataEvent* message);
Result<dataserver::Event> from_wire(const DataEvent& message);

}  // namespace scistream::control

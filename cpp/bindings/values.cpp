#include "bindings/values.hpp"

#include <pybind11/stl.h>

#include <string>

#include "bindings/errors.hpp"

namespace py = pybind11;

namespace scistream::bindings {

namespace {

using namespace pybind11::literals;  // NOLINT(google-build-using-namespace): _a

py::object type(const char* name) { return py::module_::import("scistream._values").attr(name); }

py::tuple texts(const std::vector<std::string>& list) { return {py::cast(list)}; }

}  // namespace

py::object to_python(const dataserver::ConnectionStatus& connection) {
  return type("Connection")(
      "id"_a = connection.id, "port"_a = connection.port, "peer"_a = connection.peer,
      "target"_a = connection.target, "bytes_to_consumer"_a = connection.bytes_to_consumer,
      "bytes_to_producer"_a = connection.bytes_to_producer, "idle"_a = seconds_of(connection.idle));
}

py::object to_python(const session::SessionView& view) {
  const auto& counters = view.counters;
  py::tuple connections(view.connections.size());
  for (std::size_t i = 0; i < view.connections.size(); ++i)
    connections[i] = to_python(view.connections[i]);
  return type("SessionStatus")(
      "uid"_a = view.key.uid, "role"_a = to_string(view.key.role),
      "state"_a = to_string(view.state), "phase"_a = to_string(view.phase),
      "listeners"_a = texts(view.listeners), "targets"_a = texts(view.targets),
      "num_conn"_a = view.num_conn, "rate"_a = view.rate_mbps,
      "rate_is_leased"_a = view.rate_is_leased, "protocol"_a = view.protocol,
      "transport"_a = view.transport, "protection"_a = view.protection, "labels"_a = view.labels,
      "age"_a = seconds_of(view.age), "bytes_to_consumer"_a = counters.bytes_to_consumer,
      "bytes_to_producer"_a = counters.bytes_to_producer,
      "connections_active"_a = counters.connections_active,
      "connections_total"_a = counters.connections_total, "errors"_a = counters.errors,
      "refused"_a = counters.refused, "idle"_a = seconds_of(counters.idle), "note"_a = view.note,
      "connections"_a = std::move(connections));
}

py::tuple to_python(const std::vector<session::SessionView>& views) {
  py::tuple list(views.size());
  for (std::size_t i = 0; i < views.size(); ++i) list[i] = to_python(views[i]);
  return list;
}

py::tuple to_python(const client::SessionList& list) {
  const py::object requested = type("RequestedSession");
  py::tuple all(list.sessions.size());
  for (std::size_t i = 0; i < list.sessions.size(); ++i) {
    const client::RequestedSession& session = list.sessions[i];
    py::tuple errors(session.errors.size());
    for (std::size_t n = 0; n < session.errors.size(); ++n)
      errors[n] = exception_for(session.errors[n], session.uid);
    std::vector<std::string> servers;
    for (const Endpoint& server : session.servers) servers.push_back(to_string(server));
    all[i] = requested("uid"_a = session.uid, "created"_a = static_cast<double>(session.created),
                       "servers"_a = texts(servers), "status"_a = to_python(session.views),
                       "errors"_a = std::move(errors));
  }
  return all;
}

py::object to_python(const session::SessionEvent& event) {
  return type("SessionEvent")("kind"_a = to_string(event.kind),
                              "status"_a = to_python(event.session), "detail"_a = event.detail);
}

py::object to_python(const control::ServerInfo& info) {
  return type("ServerInfo")(
      "version"_a = info.version, "data_server_kinds"_a = texts(info.data_server_kinds),
      "data_server_version"_a = info.data_server_version, "transports"_a = texts(info.transports),
      "ports_total"_a = info.capacity.ports_total, "ports_free"_a = info.capacity.ports_free,
      "capacity"_a = info.capacity.mbps, "capacity_free"_a = info.capacity.mbps_free,
      "sessions"_a = info.capacity.sessions);
}

py::object to_python(const relay::Snapshot& snapshot) {
  return type("RelayStats")("bytes_to_client"_a = snapshot.bytes_to_client,
                            "bytes_to_target"_a = snapshot.bytes_to_target,
                            "connections_active"_a = snapshot.connections_active,
                            "connections_total"_a = snapshot.connections_total,
                            "errors"_a = snapshot.errors, "idle"_a = seconds_of(snapshot.idle));
}

py::object to_python(const std::vector<client::StateChange>& states) {
  const py::object change = type("StateChange");
  py::tuple list(states.size());
  for (std::size_t i = 0; i < states.size(); ++i) {
    list[i] =
        change("state"_a = to_string(states[i].state), "ms"_a = milliseconds_of(states[i].at));
  }
  return list;
}

}  // namespace scistream::bindings

#include "sdk/values.hpp"

#include <algorithm>
#include <utility>

namespace scistream::sdk {

std::vector<Endpoint> shown_endpoints(const std::vector<std::string>& texts) {
  std::vector<Endpoint> endpoints;
  endpoints.reserve(texts.size());
  for (const std::string& text : texts) {
    auto endpoint = parse_endpoint(text);
    endpoints.push_back(endpoint ? std::move(*endpoint) : Endpoint{text, 0});
  }
  return endpoints;
}

Result<std::vector<Endpoint>> usable_endpoints(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    if (const auto endpoint = parse_endpoint(text); !endpoint)
      return Error{Cause::failure, "a control server answered: " + endpoint.error().message};
  }
  return shown_endpoints(texts);
}

StateChange to_public(const client::StateChange& change) {
  return {std::string(to_string(change.state)), change.at};
}

SessionStatus to_public(const session::SessionView& view) {
  SessionStatus status;
  status.uid = view.key.uid;
  status.role = view.key.role;
  status.state = to_string(view.state);
  status.phase = to_string(view.phase);
  status.listeners = shown_endpoints(view.listeners);
  status.targets = shown_endpoints(view.targets);
  status.num_conn = view.num_conn;
  status.rate_mbps = view.rate_mbps;
  status.rate_is_leased = view.rate_is_leased;
  status.protocol = view.protocol;
  status.transport = view.transport;
  status.protection = view.protection;
  status.labels = view.labels;
  status.age = view.age;
  status.bytes_to_consumer = view.counters.bytes_to_consumer;
  status.bytes_to_producer = view.counters.bytes_to_producer;
  status.connections_active = view.counters.connections_active;
  status.connections_total = view.counters.connections_total;
  status.errors = view.counters.errors;
  status.refused = view.counters.refused;
  status.idle = view.counters.idle;
  status.note = view.note;
  return status;
}

std::vector<SessionStatus> to_public(const std::vector<session::SessionView>& views) {
  std::vector<SessionStatus> all;
  all.reserve(views.size());
  for (const auto& view : views) all.push_back(to_public(view));
  return all;
}

SessionEvent to_public(const session::SessionEvent& event) {
  const auto kind = [&event] {
    switch (event.kind) {
      case session::SessionEvent::Kind::counters: return SessionEvent::Kind::counters;
      case session::SessionEvent::Kind::gone: return SessionEvent::Kind::gone;
      case session::SessionEvent::Kind::state: break;
    }
    return SessionEvent::Kind::state;
  };
  return {kind(), to_public(event.session), event.detail};
}

std::vector<RequestedSession> to_public(const client::SessionList& list) {
  std::vector<RequestedSession> sessions;
  for (const client::RequestedSession& session : list.sessions) {
    const std::chrono::sys_seconds created{std::chrono::seconds(session.created)};
    sessions.push_back(
        {session.uid, created, session.servers, to_public(session.views), session.errors});
  }
  return sessions;
}

ServerInfo to_public(const control::ServerInfo& info) {
  return {info.version,       info.data_server_kinds,    info.data_server_version,
          info.transports,    info.capacity.ports_total, info.capacity.ports_free,
          info.capacity.mbps, info.capacity.mbps_free,   info.capacity.sessions};
}

SessionStats stats_of(const std::vector<SessionStatus>& sides) {
  const auto consumer = std::find_if(sides.begin(), sides.end(), [](const SessionStatus& side) {
    return side.role == Role::consumer;
  });
  const SessionStatus& shown = consumer == sides.end() ? sides.front() : *consumer;
  SessionStats stats{shown.bytes_to_consumer,
                     shown.bytes_to_producer,
                     shown.connections_active,
                     shown.connections_total,
                     0,
                     0,
                     shown.idle};
  for (const SessionStatus& side : sides) {
    stats.errors = std::max(stats.errors, side.errors);
    stats.refused += side.refused;
    stats.idle = std::min(stats.idle, side.idle);
  }
  return stats;
}

}  // namespace scistream::sdk

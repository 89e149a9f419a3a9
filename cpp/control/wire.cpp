#include "control/wire.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace scistream::control {

namespace {

using std::chrono::milliseconds;

std::uint64_t count(milliseconds time) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, time.count()));
}

milliseconds time(std::uint64_t ms) {
  constexpr std::uint64_t century = 100ULL * 365 * 24 * 3600 * 1000;
  return milliseconds(static_cast<std::int64_t>(std::min(ms, century)));
}

/// People may write roles in any case, messages may not.
Result<Role> exact_role(const std::string& text) {
  if (const auto role = parse_role(text); role && to_string(*role) == text) return *role;
  return Error{Cause::invalid_argument, "role '" + shown(text) + "' is neither PROD nor CONS"};
}

std::optional<Role> advisory_role(const std::string& text) {
  const auto role = exact_role(text);
  return role ? std::optional(*role) : std::nullopt;
}

template <class Message>
void counters_to_wire(const dataserver::Counters& counters, Message* message) {
  message->set_bytes_to_consumer(counters.bytes_to_consumer);
  message->set_bytes_to_producer(counters.bytes_to_producer);
  message->set_connections_active(counters.connections_active);
  message->set_connections_total(counters.connections_total);
  message->set_errors(counters.errors);
  message->set_refused(counters.refused);
  message->set_idle_ms(count(counters.idle));
}

template <class Message>
dataserver::Counters counters_from_wire(const Message& message) {
  dataserver::Counters counters;
  counters.bytes_to_consumer = message.bytes_to_consumer();
  counters.bytes_to_producer = message.bytes_to_producer();
  counters.connections_active = message.connections_active();
  counters.connections_total = message.connections_total();
  counters.errors = message.errors();
  counters.refused = message.refused();
  counters.idle = time(message.idle_ms());
  return counters;
}

/// `Message`: of either service, which say the same of a connection.
template <class Message>
void connection_to_wire(const dataserver::ConnectionStatus& connection, Message* message) {
  message->set_id(connection.id);
  message->set_port(connection.port);
  message->set_peer(connection.peer);
  message->set_target(connection.target);
  message->set_bytes_to_consumer(connection.bytes_to_consumer);
  message->set_bytes_to_producer(connection.bytes_to_producer);
  message->set_idle_ms(count(connection.idle));
}

template <class Message>
dataserver::ConnectionStatus connection_from_wire(const Message& message) {
  return {message.id(),
          static_cast<std::uint16_t>(message.port()),
          message.peer(),
          message.target(),
          message.bytes_to_consumer(),
          message.bytes_to_producer(),
          time(message.idle_ms())};
}

template <class T, std::size_t n>
Result<T> named(const T (&values)[n], const std::string& name, const char* what) {
  for (const T value : values) {
    if (to_string(value) == name) return value;
  }
  return Error{Cause::invalid_argument,
               std::string(what) + " '" + name.substr(0, 32) + "' is not known"};
}

constexpr session::State session_states[] = {session::State::idle, session::State::reserving,
                                             session::State::listening, session::State::updating,
                                             session::State::releasing};
constexpr session::Phase session_phases[] = {session::Phase::fresh, session::Phase::reserving,
                                             session::Phase::hello, session::Phase::update,
                                             session::Phase::ready, session::Phase::ended};
constexpr dataserver::State data_states[] = {dataserver::State::idle, dataserver::State::reserving,
                                             dataserver::State::updating,
                                             dataserver::State::releasing};

Result<std::vector<Endpoint>> endpoints(
    const google::protobuf::RepeatedPtrField<std::string>& texts) {
  std::vector<Endpoint> all;
  all.reserve(static_cast<std::size_t>(texts.size()));
  for (const std::string& text : texts) {
    auto endpoint = parse_endpoint(text);
    if (!endpoint) return endpoint.error();
    all.push_back(std::move(*endpoint));
  }
  return all;
}

Result<std::vector<std::uint16_t>> ports(
    const google::protobuf::RepeatedField<std::uint32_t>& numbers) {
  std::vector<std::uint16_t> all;
  for (const std::uint32_t number : numbers) {
    if (number == 0 || number > 65535) {
      return Error{Cause::invalid_argument,
                   "port " + std::to_string(number) + " is not from 1 to 65535"};
    }
    all.push_back(static_cast<std::uint16_t>(number));
  }
  return all;
}

std::string event_name(dataserver::Event::Kind kind) {
  switch (kind) {
    case dataserver::Event::Kind::state: return "state";
    case dataserver::Event::Kind::counters: return "counters";
    case dataserver::Event::Kind::gone: return "gone";
    case dataserver::Event::Kind::lost: return "lost";
  }
  return "state";
}

}  // namespace

Result<session::Request> from_wire(const Request& message) {
  const auto role = exact_role(message.role());
  if (!role) return role.error();
  session::Request request;
  request.key = {message.uid(), *role};
  request.num_conn = message.num_conn();
  request.rate = {message.rate(), message.rate_is_explicit()};
  if (!message.protocol().empty()) request.protocol = message.protocol();
  request.producer = message.producer();
  request.consumer = message.consumer();
  request.labels = {message.labels().begin(), message.labels().end()};
  request.app_key = Secret(message.app_key());
  if (!message.transport().empty()) request.transport = message.transport();
  request.lifetime = time(message.lifetime_ms());
  request.claim = message.claim();
  request.proxy_protocol = message.proxy_protocol();
  return request;
}

Request to_wire(const session::Request& request) {
  Request message;
  message.set_uid(request.key.uid);
  message.set_role(std::string(to_string(request.key.role)));
  message.set_num_conn(request.num_conn);
  message.set_rate(static_cast<std::int32_t>(request.rate.mbps));
  message.set_rate_is_explicit(request.rate.is_explicit);
  message.set_protocol(request.protocol);
  message.set_producer(request.producer);
  message.set_consumer(request.consumer);
  for (const auto& [name, value] : request.labels) (*message.mutable_labels())[name] = value;
  message.set_app_key(std::string(request.app_key.view()));
  message.set_transport(request.transport);
  message.set_lifetime_ms(count(request.lifetime));
  message.set_claim(request.claim);
  message.set_proxy_protocol(request.proxy_protocol);
  return message;
}

session::Hello from_wire(const Hello& message) {
  session::Hello hello;
  hello.uid = message.uid();
  hello.role = advisory_role(message.role());
  hello.role_is_binding = message.role_is_binding();
  hello.prod_listeners = {message.prod_listeners().begin(), message.prod_listeners().end()};
  hello.nonce = message.nonce();
  hello.proof = message.proof();
  hello.wait_ready = message.wait_ready();
  return hello;
}

Hello to_wire(const session::Hello& hello) {
  Hello message;
  message.set_uid(hello.uid);
  if (hello.role) message.set_role(std::string(to_string(*hello.role)));
  message.set_role_is_binding(hello.role_is_binding);
  message.mutable_prod_listeners()->Add(hello.prod_listeners.begin(), hello.prod_listeners.end());
  message.set_nonce(hello.nonce);
  message.set_proof(hello.proof);
  message.set_wait_ready(hello.wait_ready);
  return message;
}

Result<session::UpdateTargets> from_wire(const UpdateTargets& message) {
  session::UpdateTargets update;
  auto targets = endpoints(message.remote_listeners());
  if (!targets) return targets.error();
  update.uid = message.uid();
  update.role = advisory_role(message.role());
  update.role_is_binding = message.role_is_binding();
  update.targets = std::move(*targets);
  if (!message.transport().empty()) update.transport = message.transport();
  update.data_key = Secret(message.data_key());
  return update;
}

UpdateTargets to_wire(const session::UpdateTargets& update) {
  UpdateTargets message;
  message.set_uid(update.uid);
  if (update.role) message.set_role(std::string(to_string(*update.role)));
  message.set_role_is_binding(update.role_is_binding);
  for (const Endpoint& target : update.targets) message.add_remote_listeners(to_string(target));
  message.set_transport(update.transport);
  message.set_data_key(std::string(update.data_key.view()));
  return message;
}

void to_wire(const session::SessionView& view, Session* message) {
  message->set_uid(view.key.uid);
  message->set_role(std::string(to_string(view.key.role)));
  message->set_state(std::string(to_string(view.state)));
  message->set_phase(std::string(to_string(view.phase)));
  message->mutable_listeners()->Add(view.listeners.begin(), view.listeners.end());
  message->mutable_targets()->Add(view.targets.begin(), view.targets.end());
  message->set_num_conn(static_cast<std::uint32_t>(view.num_conn));
  message->set_rate_mbps(static_cast<std::uint32_t>(view.rate_mbps));
  message->set_rate_is_leased(view.rate_is_leased);
  message->set_protocol(view.protocol);
  message->set_transport(view.transport);
  message->set_protection(view.protection);
  for (const auto& [name, value] : view.labels) (*message->mutable_labels())[name] = value;
  message->set_age_ms(count(view.age));
  counters_to_wire(view.counters, message->mutable_counters());
  message->set_note(view.note);
  for (const auto& connection : view.connections)
    connection_to_wire(connection, message->add_connections());
}

session::SessionView from_wire(const Session& message) {
  session::SessionView view;
  const auto role = parse_role(message.role());
  view.key = {message.uid(), role ? *role : Role::producer};
  const auto state = named(session_states, message.state(), "state");
  view.state = state ? *state : session::State::idle;
  const auto phase = named(session_phases, message.phase(), "phase");
  view.phase = phase ? *phase : session::Phase::fresh;
  view.listeners = {message.listeners().begin(), message.listeners().end()};
  view.targets = {message.targets().begin(), message.targets().end()};
  view.num_conn = static_cast<int>(message.num_conn());
  view.rate_mbps = message.rate_mbps();
  view.rate_is_leased = message.rate_is_leased();
  view.protocol = message.protocol().empty() ? "tcp" : message.protocol();
  view.transport = message.transport();
  view.protection = message.protection();
  view.labels = {message.labels().begin(), message.labels().end()};
  view.age = time(message.age_ms());
  view.counters = counters_from_wire(message.counters());
  view.note = message.note();
  for (const SessionConnection& connection : message.connections())
    view.connections.push_back(connection_from_wire(connection));
  return view;
}

Result<SessionKey> from_wire(const DataSessionKey& message) {
  const auto role = exact_role(message.role());
  if (!role) return role.error();
  if (auto status = check_uid(message.uid()); !status) return status.error();
  return SessionKey{message.uid(), *role};
}

void to_wire(const SessionKey& key, DataSessionKey* message) {
  message->set_uid(key.uid);
  message->set_role(std::string(to_string(key.role)));
}

Result<dataserver::ReserveRequest> from_wire(const ReserveListeners& message) {
  const auto key = from_wire(message.session());
  if (!key) return key.error();
  auto exact = ports(message.exact_ports());
  if (!exact) return exact.error();
  if (message.first_port() == 0 || message.last_port() > 65535 ||
      message.first_port() > message.last_port()) {
    return Error{Cause::invalid_argument, "bad port range " + std::to_string(message.first_port()) +
                                              "-" + std::to_string(message.last_port())};
  }
  if (message.num_conn() < 1 || message.num_conn() > dataserver::max_num_conn) {
    return Error{Cause::invalid_argument, "num_conn " + std::to_string(message.num_conn()) +
                                              " is not from 1 to " +
                                              std::to_string(dataserver::max_num_conn)};
  }
  dataserver::ReserveRequest request;
  request.session = *key;
  request.num_conn = static_cast<int>(message.num_conn());
  request.bind_host = message.bind_host();
  request.ports = {static_cast<std::uint16_t>(message.first_port()),
                   static_cast<std::uint16_t>(message.last_port())};
  request.exact_ports = std::move(*exact);
  request.datagrams = message.datagrams();
  request.proxy_protocol = message.proxy_protocol();
  return request;
}

ReserveListeners to_wire(const dataserver::ReserveRequest& request) {
  ReserveListeners message;
  to_wire(request.session, message.mutable_session());
  message.set_num_conn(static_cast<std::uint32_t>(request.num_conn));
  message.set_bind_host(request.bind_host);
  message.set_first_port(request.ports.first);
  message.set_last_port(request.ports.last);
  message.mutable_exact_ports()->Add(request.exact_ports.begin(), request.exact_ports.end());
  message.set_datagrams(request.datagrams);
  message.set_proxy_protocol(request.proxy_protocol);
  return message;
}

Result<dataserver::UpdateRequest> from_wire(const SetTargets& message) {
  const auto key = from_wire(message.session());
  if (!key) return key.error();
  auto targets = endpoints(message.targets());
  if (!targets) return targets.error();
  dataserver::UpdateRequest request;
  request.session = *key;
  request.targets = std::move(*targets);
  request.transport = message.transport();
  request.data_key = Secret(message.data_key());
  request.rate = {message.rate_mbps(), message.rate_is_leased(), message.capacity_mbps()};
  auto allowed = net::Destinations::parse({message.allowed().begin(), message.allowed().end()});
  if (!allowed) return allowed.error();
  request.allowed = std::move(*allowed);
  return request;
}

SetTargets to_wire(const dataserver::UpdateRequest& request) {
  SetTargets message;
  to_wire(request.session, message.mutable_session());
  for (const Endpoint& target : request.targets) message.add_targets(to_string(target));
  message.set_transport(request.transport);
  message.set_data_key(std::string(request.data_key.view()));
  message.set_rate_mbps(request.rate.mbps);
  message.set_rate_is_leased(request.rate.leased);
  message.set_capacity_mbps(request.rate.capacity_mbps);
  for (std::string& each : request.allowed.to_strings()) message.add_allowed(std::move(each));
  return message;
}

void to_wire(const dataserver::SessionStatus& status, DataSession* message) {
  to_wire(status.session, message->mutable_session());
  message->set_reservation(status.reservation);
  message->set_state(std::string(to_string(status.state)));
  message->mutable_ports()->Add(status.ports.begin(), status.ports.end());
  for (const Endpoint& target : status.targets) message->add_targets(to_string(target));
  message->set_transport(status.transport);
  counters_to_wire(status.counters, message->mutable_counters());
  for (const auto& connection : status.connections)
    connection_to_wire(connection, message->add_connections());
}

Result<dataserver::SessionStatus> from_wire(const DataSession& message) {
  const auto key = from_wire(message.session());
  if (!key) return key.error();
  const auto state = named(data_states, message.state(), "state");
  if (!state) return state.error();
  auto bound = ports(message.ports());
  if (!bound) return bound.error();
  auto targets = endpoints(message.targets());
  if (!targets) return targets.error();
  dataserver::SessionStatus status;
  status.session = *key;
  status.reservation = message.reservation();
  status.state = *state;
  status.ports = std::move(*bound);
  status.targets = std::move(*targets);
  status.transport = message.transport();
  status.counters = counters_from_wire(message.counters());
  for (const DataConnection& connection : message.connections())
    status.connections.push_back(connection_from_wire(connection));
  return status;
}

void to_wire(const dataserver::Released& released, ReleasedListeners* message) {
  if (released) to_wire(*released, message->mutable_session());
}

Result<dataserver::Released> from_wire(const ReleasedListeners& message) {
  if (!message.has_session()) return dataserver::Released();
  auto session = from_wire(message.session());
  if (!session) return session.error();
  return dataserver::Released(std::move(*session));
}

void to_wire(const dataserver::Event& event, DataEvent* message) {
  message->set_kind(event_name(event.kind));
  to_wire(event.status, message->mutable_session());
  message->set_detail(event.detail);
}

Result<dataserver::Event> from_wire(const DataEvent& message) {
  auto status = from_wire(message.session());
  if (!status) return status.error();
  dataserver::Event event;
  event.status = std::move(*status);
  event.detail = message.detail();
  using Kind = dataserver::Event::Kind;
  for (const Kind kind : {Kind::state, Kind::counters, Kind::gone}) {
    if (event_name(kind) == message.kind()) {
      event.kind = kind;
      return event;
    }
  }
  return Error{Cause::invalid_argument,
               "event '" + message.kind().substr(0, 32) + "' is not known"};
}

}  // namespace scistream::control

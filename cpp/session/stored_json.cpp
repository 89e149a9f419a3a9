#include "session/stored_json.hpp"

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>
#include <vector>

namespace scistream::session {

namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::system_clock;

std::int64_t to_ms(system_clock::time_point time) {
  return std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count();
}

/// A whole number that fits. A conversion by the library alone would take any float.
template <class T>
T whole(const json& value) {
  const bool negative =
      value.is_number_integer() && !value.is_number_unsigned() && value.get<std::int64_t>() < 0;
  const bool fits =
      value.is_number_integer() && (negative ? std::in_range<T>(value.get<std::int64_t>())
                                             : std::in_range<T>(value.get<std::uint64_t>()));
  if (!fits) throw std::invalid_argument("a number is not one that fits");
  return value.get<T>();
}

template <class T>
std::vector<T> all_whole(const json& values) {
  std::vector<T> all;
  for (const json& value : values) all.push_back(whole<T>(value));
  return all;
}

/// Within a thousand years of now, so that no sum overflows.
system_clock::time_point from_ms(const json& value) {
  constexpr std::int64_t far = 1000LL * 366 * 24 * 3600 * 1000;
  const auto ms = whole<std::int64_t>(value);
  if (ms < -far || ms > 3 * far) throw std::invalid_argument("a time is out of reach");
  return system_clock::time_point(milliseconds(ms));
}

Secret secret(const json& hex) {
  const auto text = hex.get<std::string>();
  if (text.empty()) return {};
  auto key = Secret::from_hex(text, key_size);
  if (!key) throw std::invalid_argument(key.error().message);
  return std::move(*key);
}

std::vector<std::uint64_t> to_numbers(const dataserver::Counters& counters) {
  return {counters.bytes_to_consumer, counters.bytes_to_producer, counters.connections_total,
          counters.errors, counters.refused};
}

dataserver::Counters counters(const std::vector<std::uint64_t>& numbers) {
  if (numbers.size() != 5) throw std::invalid_argument("its counters are not five numbers");
  dataserver::Counters counters;
  counters.bytes_to_consumer = numbers[0];
  counters.bytes_to_producer = numbers[1];
  counters.connections_total = numbers[2];
  counters.errors = numbers[3];
  counters.refused = numbers[4];
  return counters;
}

Phase phase(const std::string& name) {
  for (const Phase each : {Phase::hello, Phase::update, Phase::ready, Phase::ended}) {
    if (to_string(each) == name) return each;
  }
  throw std::invalid_argument("its phase is '" + name.substr(0, 32) + "'");
}

}  // namespace

std::string to_json(const StoredSession& session) {
  const Request& request = session.request;
  json document{{"uid", request.key.uid},
                {"role", to_string(request.key.role)},
                {"num_conn", request.num_conn},
                {"rate_mbps", request.rate.mbps},
                {"rate_is_explicit", request.rate.is_explicit},
                {"rate_now_mbps", session.rate.mbps},
                {"rate_now_is_explicit", session.rate.is_explicit},
                {"protocol", request.protocol},
                {"producer", request.producer},
                {"consumer", request.consumer},
                {"labels", request.labels},
                {"app_key", request.app_key.hex()},
                {"transport", request.transport},
                {"proxy_protocol", request.proxy_protocol},
                {"lifetime_ms", request.lifetime.count()},
                {"claim", request.claim},
                {"caller_host", request.caller_host},
                {"owner", request.owner},
                {"phase", to_string(session.phase)},
                {"draining", session.draining},
                {"drain_is_users", session.drain_is_users},
                {"rate_is_leased", session.rate_is_leased},
                {"reservation", session.reservation},
                {"counters_before", to_numbers(session.counters_before)},
                {"ports", session.ports},
                {"listeners", session.listeners},
                {"prod_listeners", session.prod_listeners},
                {"nonces", session.nonces},
                {"born_ms", to_ms(session.born)},
                {"ready_since_ms", to_ms(session.ready_since)}};
  if (session.targets) {
    document["targets"] = to_strings(session.targets->targets);
    document["targets_transport"] = session.targets->transport;
    document["data_key"] = session.targets->data_key.hex();
    document["allowed"] = session.targets->allowed.to_strings();
  }
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<StoredSession> stored_session(std::string_view text) {
  const auto bad = [](const std::string& why) {
    return Error{Cause::failure, "a stored session cannot be read: " + why};
  };
  try {
    const json document = json::parse(text);
    StoredSession session;
    Request& request = session.request;
    const auto role = parse_role(document.at("role").get<std::string>());
    if (!role) return bad(role.error().message);
    request.key = {document.at("uid").get<std::string>(), *role};
    request.num_conn = whole<int>(document.at("num_conn"));
    request.rate = {whole<long long>(document.at("rate_mbps")),
                    document.at("rate_is_explicit").get<bool>()};
    session.rate = request.rate;  // stores of before know of no change
    if (document.contains("rate_now_mbps")) {
      session.rate = {whole<long long>(document.at("rate_now_mbps")),
                      document.at("rate_now_is_explicit").get<bool>()};
    }
    if (const auto valid = validate(session.rate); !valid) return bad(valid.error().message);
    request.protocol = document.at("protocol").get<std::string>();
    if (request.protocol.empty()) request.protocol = "tcp";
    request.producer = document.at("producer").get<std::string>();
    request.consumer = document.at("consumer").get<std::string>();
    request.labels = document.at("labels").get<std::map<std::string, std::string>>();
    request.app_key = secret(document.at("app_key"));
    request.transport = document.at("transport").get<std::string>();
    request.proxy_protocol = document.value("proxy_protocol", false);
    request.lifetime = milliseconds(whole<std::int64_t>(document.at("lifetime_ms")));
    constexpr milliseconds century = std::chrono::hours(24) * 36525;
    if (request.lifetime.count() < 0 || request.lifetime > century)
      return bad("its lifetime is out of reach");
    request.claim = document.at("claim").get<std::string>();
    request.caller_host = document.at("caller_host").get<std::string>();
    request.owner = document.value("owner", "");
    if (const auto valid = validate(request); !valid) return bad(valid.error().message);
    session.phase = phase(document.at("phase").get<std::string>());
    session.draining = document.at("draining").get<bool>();
    session.drain_is_users = document.value("drain_is_users", false);
    session.rate_is_leased = document.at("rate_is_leased").get<bool>();
    session.reservation = whole<std::uint64_t>(document.at("reservation"));
    if (document.contains("counters_before"))
      session.counters_before = counters(all_whole<std::uint64_t>(document.at("counters_before")));
    session.ports = all_whole<std::uint16_t>(document.at("ports"));
    if (session.ports.size() != static_cast<std::size_t>(request.num_conn))
      return bad("it has " + std::to_string(session.ports.size()) + " ports for " +
                 std::to_string(request.num_conn) + " listeners");
    session.listeners = document.at("listeners").get<std::vector<std::string>>();
    session.prod_listeners = document.at("prod_listeners").get<std::vector<std::string>>();
    session.nonces = document.at("nonces").get<std::set<std::string>>();
    session.born = from_ms(document.at("born_ms"));
    session.ready_since = from_ms(document.at("ready_since_ms"));
    if (document.contains("targets")) {
      UpdateTargets targets;
      targets.uid = request.key.uid;
      targets.role = request.key.role;
      for (const auto& target : document.at("targets")) {
        auto endpoint = parse_endpoint(target.get<std::string>());
        if (!endpoint) return bad(endpoint.error().message);
        targets.targets.push_back(std::move(*endpoint));
      }
      targets.transport = document.at("targets_transport").get<std::string>();
      targets.data_key = secret(document.at("data_key"));
      auto allowed =
          net::Destinations::parse(document.value("allowed", std::vector<std::string>()));
      if (!allowed) return bad(allowed.error().message);
      targets.allowed = std::move(*allowed);
      session.targets = std::move(targets);
    }
    if (session.phase == Phase::ready && (!session.targets || session.targets->targets.empty()))
      return bad("it is set up and has no targets");
    return session;
  } catch (const json::parse_error& error) {
    // What it says of itself quotes the text, keys included.
    return bad("JSON error " + std::to_string(error.id) + " at byte " + std::to_string(error.byte));
  } catch (const json::exception& error) {
    return bad("JSON error " + std::to_string(error.id));
  } catch (const std::invalid_argument& error) {
    return bad(error.what());
  }
}

}  // namespace scistream::session

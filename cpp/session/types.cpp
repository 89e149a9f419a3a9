#include "session/types.hpp"

#include <array>

#include "base/text.hpp"

namespace scistream::session {

namespace {

Error invalid(std::string message) { return {Cause::invalid_argument, std::move(message)}; }

}  // namespace

Status validate(const Rate& rate) {
  if (rate.mbps >= 0 && rate.mbps <= max_rate_mbps) return {};
  return invalid("rate " + std::to_string(rate.mbps) + " Mbit/s is not from 0 to " +
                 std::to_string(max_rate_mbps));
}

Status validate(const Request& request) {
  if (auto status = check_uid(request.key.uid); !status) return status;
  if (request.num_conn < 1 || request.num_conn > dataserver::max_num_conn) {
    return invalid("num_conn " + std::to_string(request.num_conn) + " is not from 1 to " +
                   std::to_string(dataserver::max_num_conn));
  }
  if (auto status = validate(request.rate); !status) return status;
  if (request.protocol != "tcp" && request.protocol != "udp") {
    return invalid("protocol '" + shown(request.protocol) + "' is not known; use tcp or udp");
  }
  if (request.transport != "tcp" && request.transport != "tls") {
    return invalid("transport '" + shown(request.transport) + "' is not known; use tcp or tls");
  }
  if (request.proxy_protocol && request.key.role == Role::consumer)
    return invalid("the PROXY protocol is for a producer's application");
  if (request.proxy_protocol && request.protocol == "udp")
    return invalid("the PROXY protocol is for connections, not for protocol udp");
  if (!request.app_key.empty() && request.app_key.size() != key_size) {
    return invalid("an application key has " + std::to_string(key_size) + " bytes, not " +
                   std::to_string(request.app_key.size()));
  }
  for (const std::string* application : {&request.producer, &request.consumer}) {
    constexpr std::size_t longest = 300;
    if (application->size() > longest)
      return invalid("application '" + shown(*application) + "' is longer than " +
                     std::to_string(longest) + " bytes");
  }
  if (request.claim.size() > 64) return invalid("a claim has at most 64 characters");
  if (request.labels.size() > max_labels) {
    return invalid(std::to_string(request.labels.size()) + " labels; at most " +
                   std::to_string(max_labels) + " are kept");
  }
  for (const auto& [name, value] : request.labels) {
    if (name.empty() || name.size() > max_label_bytes || value.size() > max_label_bytes) {
      return invalid("label '" + shown(name) + "' is empty or longer than " +
                     std::to_string(max_label_bytes) + " bytes");
    }
  }
  return {};
}

bool same_values(const Request& a, const Request& b) {
  return a.key == b.key && a.num_conn == b.num_conn && a.rate == b.rate &&
         a.protocol == b.protocol && a.producer == b.producer && a.consumer == b.consumer &&
         a.labels == b.labels && a.app_key == b.app_key && a.transport == b.transport &&
         a.proxy_protocol == b.proxy_protocol && a.lifetime == b.lifetime;
}

std::string hello_proof(const Secret& app_key, const std::string& uid, std::string_view role,
                        const std::vector<std::string>& prod_listeners, const std::string& nonce) {
  std::string joined;
  for (const std::string& listener : prod_listeners) {
    if (!joined.empty()) joined += ',';
    joined += listener;
  }
  const std::array<std::string, 4> parts{uid, std::string(role), joined, nonce};
  const auto code = hmac_sha256(app_key, parts);
  return {reinterpret_cast<const char*>(code.data()), code.size()};
}

std::string_view to_string(SessionEvent::Kind kind) noexcept {
  switch (kind) {
    case SessionEvent::Kind::state: return "state";
    case SessionEvent::Kind::counters: return "counters";
    case SessionEvent::Kind::gone: return "gone";
  }
  return "state";
}

void sign(Hello& hello, const Secret& app_key) {
  if (app_key.empty() || !hello.role) return;
  hello.nonce = Secret::random(16).hex();
  hello.proof =
      hello_proof(app_key, hello.uid, to_string(*hello.role), hello.prod_listeners, hello.nonce);
}

}  // namespace scistream::session

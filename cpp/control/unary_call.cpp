#include "control/unary_call.hpp"

#include "base/endpoint.hpp"

namespace scistream::control {

auth::Caller caller_of(const grpc::CallbackServerContext& context) {
  // "ipv4:192.0.2.1:5000", "ipv6:[::1]:5000" with the brackets percent-encoded, "unix:/path".
  std::string peer = context.peer();
  if (peer.starts_with("unix:")) return {"", true};
  const auto colon = peer.find(':');
  peer.erase(0, colon == std::string::npos ? 0 : colon + 1);
  for (const auto& [code, character] : {std::pair{"%5B", "["}, {"%5D", "]"}, {"%25", "%"}}) {
    if (const auto at = peer.find(code); at != std::string::npos) peer.replace(at, 3, character);
  }
  const auto endpoint = parse_endpoint(peer, ZeroPort::allowed);
  if (!endpoint) return {peer, false};
  std::string host = endpoint->host;
  if (host.starts_with("::ffff:")) host.erase(0, 7);
  const bool local = is_loopback(host);
  return {std::move(host), local};
}

}  // namespace scistream::control

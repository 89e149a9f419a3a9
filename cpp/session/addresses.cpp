#include "session/addresses.hpp"

namespace scistream::session {

std::vector<std::string> Addresses::announce(Role role, const std::vector<std::uint16_t>& bound,
                                             const std::string& caller_host) const {
  std::string host = side(role).announced_host;
  if (host.empty() && route_source) host = route_source(caller_host);
  if (host.empty()) host = "127.0.0.1";
  const int shift = announced_first_port == 0 ? 0 : announced_first_port - ports.first;
  std::vector<std::string> listeners;
  listeners.reserve(bound.size());
  for (const std::uint16_t port : bound) {
    listeners.push_back(to_string(Endpoint{host, static_cast<std::uint16_t>(port + shift)}));
  }
  return listeners;
}

}  // namespace scistream::session

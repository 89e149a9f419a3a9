#include "client/provider.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace scistream::client {

namespace {

constexpr const char* globus_issuer = "https://auth.globus.org";

bool is_uid(const std::string& text) {
  constexpr std::size_t size = 36;
  if (text.size() != size) return false;
  for (std::size_t i = 0; i < size; ++i) {
    const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
    const char c = text[i];
    const bool is_digit =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (is_dash ? c != '-' : !is_digit) return false;
  }
  return true;
}

}  // namespace

Provider globus() {
  const auto at = [](const char* target) {
    return net::Url{true, {"auth.globus.org", 443}, target};
  };
  Provider provider;
  provider.issuer = globus_issuer;
  provider.authorization = at("/v2/oauth2/authorize");
  provider.token = at("/v2/oauth2/token");
  provider.revocation = at("/v2/oauth2/token/revoke");
  provider.userinfo = at("/v2/oauth2/userinfo");
  provider.extra_scopes = "openid profile email";
  provider.paste_redirect = std::string(globus_issuer) + "/v2/web/auth-code";
  return provider;
}

std::string full_scope(const std::string& issuer, const std::string& scope) {
  if (issuer != globus_issuer || !is_uid(scope)) return scope;
  return issuer + "/scopes/" + scope + "/scistream";
}

Endpoint canonical_server(Endpoint server) {
  std::string& host = server.host;
  std::transform(host.begin(), host.end(), host.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (host.size() > 1 && host.back() == '.') host.pop_back();
  std::array<unsigned char, sizeof(in6_addr)> address{};
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (::inet_pton(AF_INET6, host.c_str(), address.data()) == 1)
    host = ::inet_ntop(AF_INET6, address.data(), text.data(), text.size());
  return server;
}

}  // namespace scistream::client

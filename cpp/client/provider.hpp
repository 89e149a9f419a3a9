#pragma once

#include <optional>
#include <string>

#include "base/endpoint.hpp"
#include "net/url.hpp"

namespace scistream::client {

/// Who says who users are, and where it is asked.
struct Provider {
  std::string issuer;  ///< As it calls itself.
  net::Url authorization;
  net::Url token;
  std::optional<net::Url> device_authorization;
  std::optional<net::Url> revocation;
  std::optional<net::Url> userinfo;
  /// Asked for at a login besides the scope: to learn who it is, and to have it refreshed.
  std::string extra_scopes = "openid profile email offline_access";
  /// A page of its own that shows a code to copy; empty: it has none.
  std::string paste_redirect;
};

/// Globus Auth.
Provider globus();

/// The scope to ask a provider for, in its own words. Of Globus Auth users know the id of a
/// service, whose scope for streaming is meant by it; all else stays as it is.
std::string full_scope(const std::string& issuer, const std::string& scope);

/// One spelling for each control server.
Endpoint canonical_server(Endpoint server);

}  // namespace scistream::client

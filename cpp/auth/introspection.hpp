#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "auth/authenticator.hpp"
#include "auth/claims.hpp"
#include "base/secret.hpp"
#include "net/http_client.hpp"

namespace scistream::auth {

struct IntrospectionOptions {
  net::Url endpoint;
  std::string issuer;     ///< As the server calls itself; its scheme and host if empty.
  std::string client_id;  ///< This service's, at the authorization server; also its audience.
  Secret client_secret;
  /// Must be among a token's: `ISSUER/scopes/CLIENT_ID/scistream` if empty.
  std::string scope;
  /// Asks for all identities of a user, as Globus Auth tells them.
  bool identity_set = false;
};

/// Asks an authorization server whom a token belongs to (RFC 7662), with HTTP Basic
/// authentication. Lives on the thread of its client.
class Introspection final : public Authenticator {
 public:
  Introspection(net::HttpClient client, IntrospectionOptions options);

  void identify(const Secret& token, Done done) override;
  [[nodiscard]] const Expected& expected() const noexcept { return expected_; }

 private:
  const net::HttpClient client_;
  const IntrospectionOptions options_;
  const Expected expected_;
};

}  // namespace scistream::auth

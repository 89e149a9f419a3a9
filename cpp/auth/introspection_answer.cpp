#include "auth/introspection_answer.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace scistream::auth {

using nlohmann::json;

Result<Identity> identity_in_introspection(std::string_view answer, const Expected& expected,
                                           const std::string& scope,
                                           std::chrono::system_clock::time_point now) {
  const json claims = json::parse(answer, nullptr, false);
  const auto active = claims.is_object() ? claims.find("active") : claims.end();
  if (!claims.is_object() || active == claims.end() || !active->is_boolean()) {
    return Error{Cause::unavailable,
                 "'" + expected.issuer + "' does not say whether the token is active"};
  }
  if (!active->get<bool>()) return bad_token("is not active; log in again (s2uc login)");
  // It was asked over its own TLS: what it says, it says.
  Expected of_it = expected;
  if (const std::string issuer = text_in(claims, "iss"); !issuer.empty()) of_it.issuer = issuer;
  auto who = identity_in_claims(claims, of_it, now);
  if (!who) return who;
  const bool may = std::any_of(who->scopes.begin(), who->scopes.end(),
                               [&](const std::string& each) { return each.ends_with(scope); });
  if (!may) {
    return Error{Cause::permission_denied,
                 "the token has no scope '" + scope + "'; log in for it (s2uc login --scope)"};
  }
  return who;
}

}  // namespace scistream::auth

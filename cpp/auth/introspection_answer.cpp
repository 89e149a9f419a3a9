#include "auth/introspection_answer.hpp"

#include <nlohmann/json.hpp>
#include <string>

namespace scistream::auth {

using nlohmann::json;

Result<Identity> identity_in_introspection(std::string_view answer, const Expected& expected,
                                           std::chrono::system_clock::time_point now) {
  const json claims = json::parse(answer, nullptr, false);
  const auto active = claims.is_object() ? claims.find("active") : claims.end();
  if (!claims.is_object() || active == claims.end() || !active->is_boolean()) {
    return Error{Cause::unavailable,
                 "'" + expected.issuer + "' does not say whether the token is active"};
  }
  if (!active->get<bool>()) return bad_token("is not active: log in again");
  return identity_in_claims(claims, expected, now);
}

}  // namespace scistream::auth

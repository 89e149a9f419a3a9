#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "auth/claims.hpp"
#include "auth/identity.hpp"
#include "base/error.hpp"

namespace scistream::auth {

/// Whom an authorization server's answer (RFC 7662, section 2.2) is about; one that does not say
/// who it is, is the expected issuer. `unauthenticated` if the token is not good here,
/// `permission_denied` if none of its scopes ends with `scope`, `unavailable` if the answer is
/// none.
Result<Identity> identity_in_introspection(std::string_view answer, const Expected& expected,
                                           const std::string& scope,
                                           std::chrono::system_clock::time_point now);

}  // namespace scistream::auth

#pragma once

#include <chrono>
#include <string_view>

#include "auth/claims.hpp"
#include "auth/identity.hpp"
#include "base/error.hpp"

namespace scistream::auth {

/// Whom an authorization server's answer (RFC 7662, section 2.2) is about; one that does not say
/// who it is, is the expected issuer. Errors as of identity_in_claims(), or `unavailable` if the
/// answer is none.
Result<Identity> identity_in_introspection(std::string_view answer, const Expected& expected,
                                           std::chrono::system_clock::time_point now);

}  // namespace scistream::auth

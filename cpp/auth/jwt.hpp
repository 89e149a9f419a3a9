#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "auth/claims.hpp"
#include "auth/identity.hpp"
#include "auth/key_set.hpp"
#include "base/error.hpp"

namespace scistream::auth {

/// Who a signed token (JWT, RFC 7519, 9068) is about: its claims `iss sub aud exp nbf scope groups
/// email`. `unauthenticated` says what is wrong with it, and repeats nothing of it; `not_found` if
/// none of the keys has the id it names, so that the issuer may have newer ones. Any thread.
Result<Identity> identity_in(std::string_view token, const KeySet& keys, const Expected& expected,
                             std::chrono::system_clock::time_point now);

/// Who says that they made a signed token: nothing has been checked. Empty if it is none.
std::string issuer_named_in(std::string_view token);

}  // namespace scistream::auth

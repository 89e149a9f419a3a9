#pragma once

namespace scistream::control {

/// Initial metadata in which servers of this project say their version: a client may repeat to them
/// what it must not repeat to others. Trailing metadata of every answer as well, which a call that
/// gRPC ends for a server does not have.
inline constexpr const char* version_header = "scistream-version";

/// And when it said it, in milliseconds since 1970: clocks that differ spoil tokens and
/// certificates.
inline constexpr const char* time_header = "scistream-time";

/// With a refusal: from whom a token would be good here, and for which scope.
inline constexpr const char* issuer_header = "scistream-login-issuer";
inline constexpr const char* scope_header = "scistream-login-scope";

}  // namespace scistream::control

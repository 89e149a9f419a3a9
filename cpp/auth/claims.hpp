#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "auth/identity.hpp"
#include "base/error.hpp"

namespace scistream::auth {

/// How far two clocks may be apart.
inline constexpr std::chrono::seconds clock_leeway{3};

/// What a token must say to be good here.
struct Expected {
  std::string issuer;
  std::string audience;
  std::string scope{};  ///< That it must have, whole; empty: none.
  /// Takes signed tokens that do not say that they are for access (RFC 9068), as many issuers make
  /// them, unless they are for something else.
  bool plain_tokens = false;
  /// Users do not choose their names there: these are addresses that it has verified, as those of
  /// Globus Auth are.
  bool names_are_verified = false;
};

/// `unauthenticated`: `the token ` and why it is not good.
Error bad_token(const std::string& why);

/// A member that is a text; empty if it is none.
std::string text_in(const nlohmann::json& object, const char* member);

/// Of a text its words, of a list its texts.
std::vector<std::string> texts_in(const nlohmann::json& object, const char* member);

/// Seconds since 1970, with or without a fraction; nothing if that is not what is there.
std::optional<std::chrono::system_clock::time_point> time_in(const nlohmann::json& object,
                                                             const char* member);

/// Who a token with these claims is about (RFC 7519, section 4.1; RFC 7662, section 2.2), if it is
/// of that issuer, for this service and for this time; else bad_token(). `permission_denied` if it
/// has not the scope.
Result<Identity> identity_in_claims(const nlohmann::json& claims, const Expected& expected,
                                    std::chrono::system_clock::time_point now);

}  // namespace scistream::auth

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "auth/identity.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"

namespace scistream::auth {

/// Finds out whom a bearer token was given to.
class Authenticator {
 public:
  using Done = std::function<void(Result<Identity>)>;

  virtual ~Authenticator() = default;
  /// `done` comes once: `unauthenticated` for a token that is not good here, `unavailable` or
  /// `timeout` where that cannot be found out. Neither it nor its errors keep the token.
  virtual void identify(const std::string& token, Done done) = 0;
};

}  // namespace scistream::auth

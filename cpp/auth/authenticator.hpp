#pragma once

#include <functional>
#include <memory>

#include "auth/identity.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/secret.hpp"

namespace scistream::auth {

/// Finds out whom a bearer token was given to.
class Authenticator {
 public:
  using Done = std::function<void(Result<Identity>)>;

  virtual ~Authenticator() = default;
  /// `done` comes once, from the destructor at the latest: `unauthenticated` for a token that is
  /// not good here, `permission_denied` for one that is good for something else, `unavailable` or
  /// `exhausted` where that cannot be found out. Neither it nor its errors keep the token.
  virtual void identify(const Secret& token, Done done) = 0;
};

}  // namespace scistream::auth

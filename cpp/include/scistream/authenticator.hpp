#pragma once

#include "scistream/error.hpp"
#include "scistream/identity.hpp"
#include "scistream/secret.hpp"

namespace scistream::inline v0 {

/// Finds out in a way of one's own whom a bearer token was given to, for a control server in the
/// same process (`ControlServerOptions::own_authenticator`). Who somebody is, is remembered for 30
/// seconds.
class Authenticator {
 public:
  virtual ~Authenticator() = default;

  /// May take its time: it is called on threads that are kept for that, several at a time.
  /// `unauthenticated` for a token that is not good, `permission_denied` for one that is good for
  /// something else, `unavailable` where that cannot be found out, as after 10 seconds. What it
  /// throws is `unavailable` to users, with its text in the log alone. Neither an error nor an
  /// identity may hold the token.
  [[nodiscard]] virtual Result<Identity> identify(const Secret& token) = 0;
};

}  // namespace scistream::inline v0

#include "auth/authorizer.hpp"

namespace scistream::auth {

Status LocalOnly::allow(const Caller& caller, std::string_view rpc) const {
  if (caller.local) return {};
  return Error{Cause::unauthenticated,
               "'" + std::string(rpc) + "' from " + caller.host +
                   " is refused: this server has no way to tell who calls and serves its own "
                   "machine only; start it with --insecure-no-auth to serve anyone"};
}

Status Anyone::allow(const Caller&, std::string_view) const { return {}; }

}  // namespace scistream::auth

#include "auth/authorizer.hpp"

namespace scistream::auth {

namespace {

Permit everything() {
  Permit permit;
  permit.principal = session::Principal::anybody();
  return permit;
}

}  // namespace

void LocalOnly::admit(const Caller& caller, const Question& question, Done done) {
  if (caller.local) return done(everything());
  done(Error{Cause::unauthenticated,
             "'" + std::string(question.rpc) + "' from " + caller.host +
                 " is refused: this server has no way to tell who calls and serves its own "
                 "machine only; give it --client-id, --issuer or --client-ca, or start it with "
                 "--insecure-no-auth to serve anyone"});
}

void Anyone::admit(const Caller&, const Question&, Done done) { done(everything()); }

}  // namespace scistream::auth

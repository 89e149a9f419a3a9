#include "auth/issuers.hpp"

#include <algorithm>

#include "auth/claims.hpp"
#include "auth/jwt.hpp"

namespace scistream::auth {

void Issuers::identify(const Secret& token, Done done) {
  const std::string issuer = issuer_named_in(token.view());
  const auto found = std::find_if(signed_.begin(), signed_.end(), [&issuer](const auto& each) {
    return !issuer.empty() && each.first == issuer;
  });
  if (found != signed_.end()) return found->second->identify(token, std::move(done));
  if (opaque_ && (issuer.empty() || issuer == opaque_issuer_))
    return opaque_->identify(token, std::move(done));
  if (others_) return others_->identify(token, std::move(done));
  done(bad_token(issuer.empty() ? "is none that can be read"
                                : "is of an issuer that is not known here"));
}

}  // namespace scistream::auth

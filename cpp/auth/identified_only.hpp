#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "auth/authorizer.hpp"
#include "auth/claims.hpp"
#include "auth/introspection.hpp"
#include "auth/policy.hpp"
#include "auth/throttle.hpp"
#include "auth/token_cache.hpp"
#include "base/log.hpp"
#include "base/seldom.hpp"
#include "net/io_threads.hpp"
#include "scistream/authenticator.hpp"

namespace scistream::auth {

/// How callers are known, and what else limits them.
struct IdentityOptions {
  std::optional<IntrospectionOptions> introspection;  ///< Of tokens that say nothing themselves.
  std::vector<Expected> issuers;                      ///< Of signed tokens.
  std::shared_ptr<v0::Authenticator> own;             ///< Of all other tokens; empty: of none.
  std::string ca_file;                     ///< Whom to trust as these; empty: the system's.
  std::size_t most_sessions = 100;         ///< Of one user at a time, unless the policy says more.
  Throttle::Limits requests{200, 50};      ///< Of one user.
  Throttle::Limits failures{20, 1.0 / 6};  ///< Tokens of one address that were no good.
};

/// Lets in whoever has a token that is good here or a client certificate, and finds out from the
/// policy what they may do. Has a thread of its own, on which tokens are checked. A good token that
/// was seen lately is good whatever else comes from its address.
class IdentifiedOnly final : public Authorizer {
 public:
  /// `invalid_argument` names the option that is wrong.
  static Result<std::unique_ptr<IdentifiedOnly>> make(IdentityOptions options, Policy policy,
                                                      Logger log);
  ~IdentifiedOnly() override;
  IdentifiedOnly(const IdentifiedOnly&) = delete;
  IdentifiedOnly& operator=(const IdentifiedOnly&) = delete;

  void admit(const Caller& caller, const Question& question, Done done) override;
  [[nodiscard]] LoginHint login_hint() const override { return hint_; }

  /// From the next call on.
  void replace(Policy policy);

  /// Nobody waits for it any more, and nobody new is let in by a token.
  void end();

 private:
  IdentifiedOnly(IdentityOptions options, Logger log);
  Status make_authenticators();
  void check(const Caller& caller, bool has_other_proof, Done done);
  [[nodiscard]] Permit permit(Identity who);
  /// Users are told that they cannot be known now; what to do about it is the operator's.
  void complain(const Error& why);

  const IdentityOptions options_;
  const Logger log_;
  const SteadyClock clock_;
  LoginHint hint_;
  Throttle requests_;
  Throttle failures_;
  std::unique_ptr<TokenCache> tokens_;  ///< Empty: there are certificates only.
  Seldom complaints_;
  std::mutex policy_mutex_;
  std::shared_ptr<const Policy> policy_;
  net::IoThreads thread_{1, "sci-auth"};  ///< All but the policy lives there.
};

}  // namespace scistream::auth

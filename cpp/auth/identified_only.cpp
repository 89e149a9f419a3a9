#include "auth/identified_only.hpp"

#include <boost/asio/post.hpp>
#include <utility>

#include "auth/custom_authenticator.hpp"
#include "auth/issuers.hpp"
#include "auth/openid_issuer.hpp"
#include "net/destinations.hpp"

namespace scistream::auth {

namespace {

/// Who makes the identities that are found in client certificates.
constexpr const char* certificates = "certificate";

Identity of_certificate(const std::vector<std::string>& names) {
  Identity who;
  who.issuer = certificates;
  who.subject = names.front();
  const auto value = [](const std::string& name) { return name.substr(name.find(':') + 1); };
  who.name = value(names.front());
  // Whatever else it is for is the same user: a rule may name them by any of it.
  for (const std::string& each : names) {
    who.linked.push_back(each);
    who.linked.push_back(value(each));
    if (who.email.empty() && each.starts_with("email:")) who.email = value(each);
  }
  // TLS has looked at it; connections do not live for ever (GrpcServer).
  who.expires = std::chrono::system_clock::time_point::max();
  return who;
}

}  // namespace

IdentifiedOnly::IdentifiedOnly(IdentityOptions options, Logger log)
    : options_(std::move(options)),
      log_(std::move(log)),
      requests_(clock_, options_.requests),
      failures_(clock_, options_.failures) {}

IdentifiedOnly::~IdentifiedOnly() { thread_.stop(); }

Result<std::unique_ptr<IdentifiedOnly>> IdentifiedOnly::make(IdentityOptions options, Policy policy,
                                                             Logger log) {
  std::unique_ptr<IdentifiedOnly> made(new IdentifiedOnly(std::move(options), std::move(log)));
  made->replace(std::move(policy));
  if (const Status status = made->make_authenticators(); !status) return status.error();
  return made;
}

Status IdentifiedOnly::make_authenticators() {
  auto client = net::HttpClient::make(thread_.at(0), {options_.ca_file});
  if (!client) return client.error();
  auto issuers = std::make_unique<Issuers>();
  if (const auto& wanted = options_.introspection) {
    auto introspection = std::make_unique<Introspection>(*client, *wanted);
    hint_ = {introspection->expected().issuer, introspection->expected().scope};
    issuers->set_opaque(hint_.issuer, std::move(introspection));
  }
  for (const Expected& expected : options_.issuers) {
    auto issuer = OpenIdIssuer::make(*client, expected, clock_);
    if (!issuer) return issuer.error();
    if (hint_.issuer.empty()) hint_ = {expected.issuer, expected.scope};
    issuers->add(expected.issuer, std::move(*issuer));
  }
  if (options_.own) {
    issuers->set_others(std::make_unique<CustomAuthenticator>(thread_.at(0), options_.own, log_));
  }
  if (options_.introspection || !options_.issuers.empty() || options_.own)
    tokens_ = std::make_unique<TokenCache>(std::move(issuers), clock_);
  return {};
}

void IdentifiedOnly::end() {
  boost::asio::post(thread_.at(0), [this] {
    if (tokens_) tokens_->end();
  });
}

void IdentifiedOnly::replace(Policy policy) {
  auto next = std::make_shared<const Policy>(std::move(policy));
  const std::lock_guard lock(policy_mutex_);
  policy_ = std::move(next);
}

void IdentifiedOnly::admit(const Caller& caller, const Question& question, Done done) {
  boost::asio::post(thread_.at(0), [this, caller, proof = question.has_other_proof,
                                    done = std::move(done)] { check(caller, proof, done); });
}

void IdentifiedOnly::check(const Caller& caller, bool has_other_proof, Done done) {
  if (!caller.certificate_names.empty() && caller.token.empty())
    return done(permit(of_certificate(caller.certificate_names)));
  const auto nobody = [has_other_proof, done](Error why) {
    // Whoever is known by something else need not be known by a token as well.
    if (has_other_proof) return done(Permit{});
    done(std::move(why));
  };
  if (caller.token.empty()) {
    return nobody({Cause::unauthenticated,
                   "this server serves users that it knows: log in, "
                   "or show a client certificate"});
  }
  if (!tokens_) {
    return nobody(
        {Cause::unauthenticated, "this server takes no tokens: show a client certificate"});
  }
  const Secret& token = caller.token;
  const auto before = tokens_->remembered(token);
  if (before.who && before.who->ok()) return done(permit(**before.who));
  // Taken for no good until it is known: else one address could have all checks under way.
  const std::string peer = net::owned_by_peer(caller.host);
  // What was good a while ago is no guess.
  const bool is_first = !before.is_asked_for && !before.was_good;
  if (is_first && !failures_.take(peer)) {
    return nobody({Cause::exhausted, "too many tokens from " + caller.host +
                                         " were no good; try again in a few seconds"});
  }
  tokens_->identify(token, [this, peer, is_first, done, nobody](const Result<Identity>& who) {
    const bool is_bad = !who && (who.error().cause == Cause::unauthenticated ||
                                 who.error().cause == Cause::permission_denied);
    if (is_first && !is_bad) failures_.give_back(peer);
    if (who) return done(permit(*who));
    if (who.error().cause == Cause::unavailable) complain(who.error());
    nobody(who.error());
  });
}

void IdentifiedOnly::complain(const Error& why) {
  if (!complaints_.may(clock_.now())) return;
  log_->error("users cannot be known for now: {}", why.message);
}

Permit IdentifiedOnly::permit(Identity who) {
  Permit permit{std::move(who)};
  const Identity& known = *permit.who;
  if (!requests_.take(known.issuer + "\n" + known.subject)) {
    permit.allowed =
        Error{Cause::exhausted, "too many requests of one user; try again in a second"};
    return permit;
  }
  std::shared_ptr<const Policy> policy;
  {
    const std::lock_guard lock(policy_mutex_);
    policy = policy_;
  }
  auto rights = policy->rights_of(known);
  if (!rights) {
    permit.allowed = rights.error();
    return permit;
  }
  if (!rights->most_sessions) rights->most_sessions = options_.most_sessions;
  permit.rights = std::move(*rights);
  permit.principal = principal_of(known, permit.rights);
  return permit;
}

}  // namespace scistream::auth

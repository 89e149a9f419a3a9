#include "auth/custom_authenticator.hpp"

#include <utility>

#include "base/text.hpp"

namespace scistream::auth {

namespace {

constexpr std::size_t most_checks = 64;
constexpr std::size_t longest_name = 1024;
constexpr std::size_t longest_message = 512;

/// Users are told apart by issuer and subject, so neither may be missing.
Result<Identity> complete(Identity who) {
  if (who.subject.empty() || who.subject.size() > longest_name ||
      who.issuer.size() > longest_name) {
    return Error{Cause::failure, "an identity needs a subject, of at most " +
                                     std::to_string(longest_name) + " bytes"};
  }
  if (who.issuer.empty()) who.issuer = CustomAuthenticator::issuer;
  if (who.expires == std::chrono::system_clock::time_point()) who.expires = who.expires.max();
  if (who.expires <= std::chrono::system_clock::now())
    return Error{Cause::unauthenticated, "the token has expired: log in again"};
  return who;
}

}  // namespace

CustomAuthenticator::CustomAuthenticator(boost::asio::io_context& home,
                                         std::shared_ptr<v0::Authenticator> own, Logger log)
    : own_(std::move(own)), log_(std::move(log)), code_(home, "sci-own-auth", most_checks) {}

void CustomAuthenticator::identify(const Secret& token, Done done) {
  const auto work = [own = own_, token]() -> Result<Identity> {
    auto who = own->identify(token);
    if (who) return complete(std::move(*who));
    // It goes to users and into logs.
    if (who.error().message.find(token.view()) != std::string::npos)
      return Error{who.error().cause, "the token is not good here"};
    return Error{who.error().cause, shown(who.error().message, longest_message)};
  };
  code_.ask<Identity>(
      {"the authenticator's identify", answer_limit, work,
       [this, done = std::move(done)](const Result<Identity>& who) {
         const Cause cause = who ? Cause::failure : who.error().cause;
         const bool is_answer = who || cause == Cause::unauthenticated ||
                                cause == Cause::permission_denied || cause == Cause::exhausted ||
                                cause == Cause::unavailable;
         if (is_answer) return done(who);
         if (complaints_.may(clock_.now()))
           log_->error("users cannot be known for now: {}", who.error().message);
         done(Error{Cause::unavailable, "this server cannot find out who you are for now"});
       },
       nullptr});
}

}  // namespace scistream::auth

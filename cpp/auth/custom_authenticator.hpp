#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>

#include "auth/authenticator.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/seldom.hpp"
#include "net/foreign_code.hpp"
#include "scistream/authenticator.hpp"

namespace scistream::auth {

/// Asks an authenticator of a user's own, on threads that are there for it. Lives on the thread of
/// its context.
class CustomAuthenticator final : public Authenticator {
 public:
  CustomAuthenticator(boost::asio::io_context& home, std::shared_ptr<v0::Authenticator> own,
                      Logger log);

  void identify(const Secret& token, Done done) override;

  static constexpr std::chrono::seconds answer_limit{10};
  /// Of identities that do not name one.
  static constexpr const char* issuer = "own";

 private:
  const std::shared_ptr<v0::Authenticator> own_;
  const Logger log_;
  SteadyClock clock_;
  Seldom complaints_;
  /// Who waits when this ends is answered by the TokenCache in front.
  net::ForeignCode code_;
};

}  // namespace scistream::auth

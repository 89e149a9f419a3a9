#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "auth/authenticator.hpp"

namespace scistream::auth {

/// Several authenticators: a signed token goes to the one for the issuer that it names, any other
/// token to the one for tokens that say nothing themselves. Lives on the thread of these.
class Issuers final : public Authenticator {
 public:
  /// Of signed tokens; the issuer as it calls itself.
  void add(std::string issuer, std::unique_ptr<Authenticator> authenticator) {
    signed_.emplace_back(std::move(issuer), std::move(authenticator));
  }
  /// Of all others, and of signed ones of this issuer.
  void set_opaque(std::string issuer, std::unique_ptr<Authenticator> authenticator) {
    opaque_issuer_ = std::move(issuer);
    opaque_ = std::move(authenticator);
  }
  /// Of what none of these is for.
  void set_others(std::unique_ptr<Authenticator> authenticator) {
    others_ = std::move(authenticator);
  }

  void identify(const Secret& token, Done done) override;

 private:
  std::vector<std::pair<std::string, std::unique_ptr<Authenticator>>> signed_;
  std::string opaque_issuer_;
  std::unique_ptr<Authenticator> opaque_;
  std::unique_ptr<Authenticator> others_;
};

}  // namespace scistream::auth

#include "auth/custom_authenticator.hpp"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <functional>
#include <future>
#include <stdexcept>

#include "auth/identified_only.hpp"
#include "base/wait_for.hpp"

namespace scistream::auth {
namespace {

class Scripted final : public v0::Authenticator {
 public:
  using Answer = std::function<Result<Identity>(const Secret&)>;
  explicit Scripted(Answer answer) : answer_(std::move(answer)) {}
  Result<Identity> identify(const Secret& token) override { return answer_(token); }

 private:
  const Answer answer_;
};

Result<Permit> admitted(Scripted::Answer answer, std::string_view token) {
  IdentityOptions options;
  options.own = std::make_shared<Scripted>(std::move(answer));
  auto gate = IdentifiedOnly::make(options, Policy::for_all(), null_logger());
  if (!gate) return gate.error();
  Caller caller{"192.0.2.1", false, Secret(token)};
  return wait_for<Permit>([&](auto done) { (*gate)->admit(caller, {"req"}, done); });
}

Identity of(const std::string& subject) {
  Identity who;
  who.subject = subject;
  return who;
}

TEST(CustomAuthenticatorTest, WhomItKnowsMayGoOn) {
  const auto permit =
      admitted([](const Secret& token) { return of(std::string(token.view())); }, "alice");
  ASSERT_TRUE(permit.ok()) << permit.error().message;
  EXPECT_TRUE(permit->allowed.ok());
  EXPECT_EQ(permit->who->subject, "alice");
  EXPECT_EQ(permit->who->issuer, CustomAuthenticator::issuer);
}

TEST(CustomAuthenticatorTest, WhomItRefusesIsRefusedWithItsWords) {
  const auto permit = admitted(
      [](const Secret&) { return Error{Cause::unauthenticated, "the badge has expired"}; }, "bob");
  ASSERT_FALSE(permit.ok());
  EXPECT_EQ(permit.error().cause, Cause::unauthenticated);
  EXPECT_EQ(permit.error().message, "the badge has expired");
}

TEST(CustomAuthenticatorTest, WhatItThrowsIsNobodysBusinessButTheOperators) {
  const auto permit = admitted(
      [](const Secret&) -> Result<Identity> { throw std::runtime_error("password of the LDAP"); },
      "bob");
  ASSERT_FALSE(permit.ok());
  EXPECT_EQ(permit.error().cause, Cause::unavailable);
  EXPECT_EQ(permit.error().message.find("LDAP"), std::string::npos);
}

TEST(CustomAuthenticatorTest, SomebodyWithoutASubjectIsNobody) {
  const auto permit = admitted([](const Secret&) { return of(""); }, "bob");
  ASSERT_FALSE(permit.ok());
  EXPECT_EQ(permit.error().cause, Cause::unavailable);
}

TEST(CustomAuthenticatorTest, OneThatWaitsHoldsNoOtherUserUp) {
  std::promise<void> gate;
  const auto open = gate.get_future().share();
  IdentityOptions options;
  options.own = std::make_shared<Scripted>([open](const Secret& token) {
    if (token.view() == "slow") open.wait();
    return of(std::string(token.view()));
  });
  auto made = IdentifiedOnly::make(options, Policy::for_all(), null_logger());
  ASSERT_TRUE(made.ok());
  const auto slow = std::make_shared<std::promise<Result<Permit>>>();
  (*made)->admit({"192.0.2.1", false, Secret(std::string_view("slow"))}, {"req"},
                 [slow](auto permit) { slow->set_value(std::move(permit)); });
  const auto quick = wait_for<Permit>([&](auto done) {
    (*made)->admit({"192.0.2.1", false, Secret(std::string_view("quick"))}, {"req"}, done);
  });
  EXPECT_TRUE(quick.ok());
  gate.set_value();
  EXPECT_TRUE(slow->get_future().get().ok());
}

}  // namespace
}  // namespace scistream::auth

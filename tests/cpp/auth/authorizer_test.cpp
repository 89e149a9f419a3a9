#include "auth/authorizer.hpp"

#include <gtest/gtest.h>

#include <optional>

namespace scistream::auth {
namespace {

std::optional<Result<Permit>> ask(Authorizer& authorizer, const Caller& caller) {
  std::optional<Result<Permit>> answer;
  authorizer.admit(caller, {"req"}, [&](Result<Permit> permit) { answer = std::move(permit); });
  return answer;
}

// Protocol: own-machine
TEST(Authorizer, LocalOnlyRefusesOthersAndSaysWhatToDo) {
  LocalOnly authorizer;
  const auto here = ask(authorizer, {"127.0.0.1", true});
  ASSERT_TRUE(here && here->ok());
  EXPECT_TRUE((**here).principal.administers) << "there is nobody else";
  const auto refused = ask(authorizer, {"192.0.2.1", false});
  ASSERT_TRUE(refused && !refused->ok());
  EXPECT_EQ(refused->error().cause, Cause::unauthenticated);
  EXPECT_NE(refused->error().message.find("--insecure-no-auth"), std::string::npos);
}

// Protocol: own-machine
TEST(Authorizer, AnyoneAllowsEverybody) {
  Anyone authorizer;
  const auto there = ask(authorizer, {"192.0.2.1", false});
  EXPECT_TRUE(there && there->ok());
}

}  // namespace
}  // namespace scistream::auth

#include "auth/authorizer.hpp"

#include <gtest/gtest.h>

namespace scistream::auth {
namespace {

// Protocol: own-machine
TEST(Authorizer, LocalOnlyRefusesOthersAndSaysWhatToDo) {
  const LocalOnly authorizer;
  EXPECT_TRUE(authorizer.allow({"127.0.0.1", true}, "req").ok());
  const Status refused = authorizer.allow({"192.0.2.1", false}, "req");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().cause, Cause::unauthenticated);
  EXPECT_NE(refused.error().message.find("--insecure-no-auth"), std::string::npos);
}

// Protocol: own-machine
TEST(Authorizer, AnyoneAllowsEverybody) {
  EXPECT_TRUE(Anyone().allow({"192.0.2.1", false}, "req").ok());
}

}  // namespace
}  // namespace scistream::auth

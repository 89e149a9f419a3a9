#include "scistream/session_key.hpp"

#include <gtest/gtest.h>

namespace scistream {
namespace {

TEST(SessionKey, RolesAreReadInAnyCase) {
  EXPECT_EQ(*parse_role("PROD"), Role::producer);
  EXPECT_EQ(*parse_role("cons"), Role::consumer);
  for (const char* text : {"", "PRODUCER", "x"}) EXPECT_FALSE(parse_role(text).ok()) << text;
}

// Protocol: uid-form, uid-without-dashes
TEST(SessionKey, IdsOfDeployedClientsAreAccepted) {
  for (const char* uid :
       {"4f8583bc-a4d3-11ee-9fd6-034d1fcbd7c3", "4f8583bca4d311ee9fd6034d1fcbd7c3", "run_7.a"}) {
    EXPECT_TRUE(check_uid(uid).ok()) << uid;
  }
}

// Protocol: uid-form
TEST(SessionKey, IdsThatWouldHarmFileNamesOrLogsAreRefused) {
  for (const std::string& uid :
       {std::string(), std::string("../x"), std::string("a/b"), std::string("a b"),
        std::string("a\nb"), std::string(".."), std::string("-rf"), std::string(129, 'a'),
        std::string("\xc3\xa4"), std::string("a\0b", 3)}) {
    const Status status = check_uid(uid);
    ASSERT_FALSE(status.ok()) << uid;
    EXPECT_EQ(status.error().message.find('\n'), std::string::npos);
  }
}

TEST(Cause, EveryCauseHasAnExitCodeOfItsOwn) {
  EXPECT_EQ(exit_code(Cause::failure), 1);
  EXPECT_EQ(exit_code(Cause::invalid_argument), 2);
  for (int a = 0; a <= static_cast<int>(Cause::cancelled); ++a) {
    for (int b = a + 1; b <= static_cast<int>(Cause::cancelled); ++b) {
      EXPECT_NE(exit_code(static_cast<Cause>(a)), exit_code(static_cast<Cause>(b)));
      EXPECT_NE(to_string(static_cast<Cause>(a)), to_string(static_cast<Cause>(b)));
    }
  }
}

}  // namespace
}  // namespace scistream

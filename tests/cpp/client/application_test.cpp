#include "client/application.hpp"

#include <gtest/gtest.h>

namespace scistream::client {
namespace {

using Words = std::vector<std::string>;

TEST(Application, PlaceholdersAreFilledWhereverTheyStand) {
  const auto filled = fill_placeholders(
      {"x={listener}", "{host}", "--p={port}", "{listeners}", "{other}", "{host}{port}"},
      {"[::1]:5", "h:6"});
  ASSERT_TRUE(filled.ok());
  EXPECT_EQ(*filled, (Words{"x=[::1]:5", "::1", "--p=5", "[::1]:5,h:6", "{other}", "::15"}));
}

TEST(Application, AMissingListenerIsAnErrorOnlyWhereOneIsNeeded) {
  EXPECT_TRUE(fill_placeholders({"a", "{listeners}"}, {}).ok());
  EXPECT_EQ(fill_placeholders({"{port}"}, {}).error().cause, Cause::invalid_argument);
}

TEST(Application, ItsExitCodeAndEnvironmentAreItsOwn) {
  const auto run = [](const std::string& script) {
    return run_application({"/bin/sh", "-c", script}, {"h:6", "h:7"}, "uid-1", "CONS", {},
                           {"HOME"});
  };
  EXPECT_EQ(*run("exit 7"), 7);
  EXPECT_EQ(
      *run("test \"$SCISTREAM_LISTENERS $SCISTREAM_UID $SCISTREAM_ROLE\" = 'h:6,h:7 uid-1 CONS'"),
      0);
  EXPECT_EQ(*run("test -z \"$HOME\""), 0);
  EXPECT_EQ(*run("kill -TERM $$"), 128 + 15);
  const auto missing = run_application({"/no/such/program"}, {}, "u", "CONS", {}, {});
  EXPECT_EQ(missing.error().cause, Cause::not_found);
}

}  // namespace
}  // namespace scistream::client

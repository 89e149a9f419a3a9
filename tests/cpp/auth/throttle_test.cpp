#include "auth/throttle.hpp"

#include <gtest/gtest.h>

#include "support/manual_scheduler.hpp"

namespace scistream::auth {
namespace {

using namespace std::chrono_literals;

TEST(Throttle, LetsABurstThroughAndThenSoManyASecond) {
  ManualScheduler clock;
  Throttle throttle(clock, {3, 2});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(throttle.take("a"));
  EXPECT_FALSE(throttle.take("a"));
  EXPECT_TRUE(throttle.take("b")) << "who is somebody else";
  clock.advance(500ms);
  EXPECT_TRUE(throttle.take("a"));
  EXPECT_FALSE(throttle.take("a"));
  clock.advance(1h);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(throttle.take("a"));
  EXPECT_FALSE(throttle.take("a")) << "rest is not saved up";
}

TEST(Throttle, AskingCountsNothing) {
  ManualScheduler clock;
  Throttle throttle(clock, {1, 1});
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(throttle.allows("a"));
  EXPECT_EQ(throttle.size(), 0U);
  throttle.count("a");
  EXPECT_FALSE(throttle.allows("a"));
}

TEST(Throttle, WhatIsGivenBackMayBeTakenAgainAndNoMore) {
  ManualScheduler clock;
  Throttle throttle(clock, {2, 0});
  EXPECT_TRUE(throttle.take("a"));
  EXPECT_TRUE(throttle.take("a"));
  EXPECT_FALSE(throttle.take("a"));
  throttle.give_back("a");
  EXPECT_TRUE(throttle.take("a"));
  EXPECT_FALSE(throttle.take("a"));
  for (int i = 0; i < 5; ++i) throttle.give_back("a");
  throttle.give_back("nobody");
  EXPECT_TRUE(throttle.take("a"));
  EXPECT_TRUE(throttle.take("a"));
  EXPECT_FALSE(throttle.take("a"));
}

TEST(Throttle, NamesDoNotFillTheMemory) {
  ManualScheduler clock;
  Throttle throttle(clock, {2, 1, 100});
  throttle.count("first");
  throttle.count("first");
  for (int i = 0; i < 1'000; ++i) throttle.count(std::to_string(i));
  EXPECT_LE(throttle.size(), 100U);
  EXPECT_FALSE(throttle.allows("first")) << "the one that has rested least stays";
}

}  // namespace
}  // namespace scistream::auth

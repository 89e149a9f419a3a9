#include <gtest/gtest.h>

#include "control/server_link.hpp"

namespace scistream::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Clock::time_point start = Clock::time_point(seconds(100));

TEST(Outage, BeginsWithTheFirstFailure) {
  Outage outage;
  EXPECT_EQ(outage.failed(start), start);
  EXPECT_EQ(outage.failed(start + milliseconds(500)), start);
}

TEST(Outage, GoesOnWithTheNextCallThatFails) {
  Outage outage;
  for (int step = 0; step < 10; ++step) (void)outage.failed(start + step * milliseconds(500));
  // A release, right after the request that gave up.
  EXPECT_EQ(outage.failed(start + milliseconds(5'100)), start);
}

TEST(Outage, IsOverWhenTheServerHasAnswered) {
  Outage outage;
  (void)outage.failed(start);
  outage.over();
  EXPECT_EQ(outage.failed(start + seconds(1)), start + seconds(1));
}

TEST(Outage, IsForgottenWhenNobodyCallsForAWhile) {
  Outage outage;
  (void)outage.failed(start);
  EXPECT_EQ(outage.failed(start + seconds(60)), start + seconds(60));
}

}  // namespace
}  // namespace scistream::control

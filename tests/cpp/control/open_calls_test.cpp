#include "control/open_calls.hpp"

#include <gtest/gtest.h>

#include <future>

namespace scistream::control {
namespace {

using std::chrono::milliseconds;

TEST(OpenCalls, CloseWaitsForTheLastContextAndRefusesLaterOnes) {
  const auto open = std::make_shared<OpenCalls>();
  auto context = std::make_unique<OpenContext>(open);
  ASSERT_TRUE(*context);
  auto closing = std::async(std::launch::async, [&] { open->close(); });
  while (open->enter()) open->leave();  // until it is closed
  EXPECT_FALSE(OpenContext(open));
  EXPECT_EQ(closing.wait_for(milliseconds(20)), std::future_status::timeout);
  context.reset();
  closing.get();
}

TEST(OpenCalls, SomethingElseIsWaitedForToo) {
  const auto open = std::make_shared<OpenCalls>();
  ASSERT_TRUE(open->enter());
  auto closing = std::async(std::launch::async, [&] { open->close(); });
  while (open->enter()) open->leave();
  EXPECT_EQ(closing.wait_for(milliseconds(20)), std::future_status::timeout);
  open->leave();
  closing.get();
}

}  // namespace
}  // namespace scistream::control

#include "net/asio_scheduler.hpp"

#include <gtest/gtest.h>

#include <future>
#include <vector>

namespace scistream::net {
namespace {

using std::chrono::milliseconds;

TEST(AsioScheduler, RunsPostedWorkInOrder) {
  AsioScheduler scheduler;
  std::vector<int> seen;
  std::promise<void> done;
  for (int i = 0; i < 100; ++i) scheduler.post([&seen, i] { seen.push_back(i); });
  scheduler.post([&done] { done.set_value(); });
  done.get_future().wait();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i);
}

TEST(AsioScheduler, ATimerFiresOnceWhenItIsDue) {
  AsioScheduler scheduler;
  std::promise<Clock::time_point> fired;
  const auto start = scheduler.now();
  Scheduler::Timer timer;
  scheduler.post([&] {
    timer = scheduler.after(milliseconds(20), [&] { fired.set_value(scheduler.now()); });
  });
  EXPECT_GE(fired.get_future().get() - start, milliseconds(20));
  scheduler.stop();
}

TEST(AsioScheduler, ACancelledTimerLetsGoOfItsWorkAtOnce) {
  AsioScheduler scheduler;
  auto held = std::make_shared<int>(1);
  std::promise<long> left;
  scheduler.post([&] {
    auto timer = scheduler.after(std::chrono::hours(1), [held] {});
    timer.cancel();
    left.set_value(held.use_count());
  });
  EXPECT_EQ(left.get_future().get(), 1);
}

TEST(AsioScheduler, StopFinishesWhatWasPosted) {
  int ran = 0;
  AsioScheduler scheduler;
  for (int i = 0; i < 1000; ++i) scheduler.post([&ran] { ++ran; });
  scheduler.stop();
  EXPECT_EQ(ran, 1000);
}

}  // namespace
}  // namespace scistream::net

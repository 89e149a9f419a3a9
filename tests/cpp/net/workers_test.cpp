#include "net/workers.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>

namespace scistream::net {
namespace {

TEST(WorkersTest, WorkRunsBesideOtherWork) {
  // These outlive what touches them.
  std::promise<void> first;
  std::promise<void> second;
  Workers workers("test");
  ASSERT_TRUE(workers.run([&] {
    second.get_future().wait();
    first.set_value();
  }));
  ASSERT_TRUE(workers.run([&] { second.set_value(); }));
  first.get_future().wait();
}

TEST(WorkersTest, MoreThanTheMostIsRefusedUnlessItMustRun) {
  std::promise<void> gate;
  std::promise<void> ran;
  const auto open = gate.get_future().share();
  std::atomic<int> running{0};
  Workers workers("test", 2);
  const auto work = [&running, open] {
    ++running;
    open.wait();
  };
  ASSERT_TRUE(workers.run(work));
  ASSERT_TRUE(workers.run(work));
  EXPECT_FALSE(workers.run(work));
  ASSERT_TRUE(workers.run_at_once([&ran] { ran.set_value(); }));
  ran.get_future().wait();
  EXPECT_LE(running, 2);
  gate.set_value();
}

TEST(WorkersTest, AThreadThatIsFreeTakesWhatComesNext) {
  Workers workers("test", 1);
  for (int i = 0; i < 100; ++i) {
    const auto done = std::make_shared<std::promise<void>>();
    // The one thread may not be back yet.
    while (!workers.run([done] { done->set_value(); })) std::this_thread::yield();
    done->get_future().wait();
  }
}

TEST(WorkersTest, ItEndsWhenItsWorkHas) {
  const auto held = std::make_shared<int>(1);
  {
    Workers workers("test");
    for (int i = 0; i < 8; ++i) ASSERT_TRUE(workers.run([held] {}));
  }
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace scistream::net

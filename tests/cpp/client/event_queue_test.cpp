#include "client/event_queue.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace scistream::client {
namespace {

using Kind = session::SessionEvent::Kind;
using std::chrono::milliseconds;

session::SessionEvent event(Kind kind, std::uint64_t bytes = 0) {
  session::SessionEvent made;
  made.kind = kind;
  made.session.counters.bytes_to_consumer = bytes;
  return made;
}

TEST(EventQueue, GivesWhatCameInOrderAndItsEndAtLast) {
  int rung = 0;
  EventQueue queue([&rung] { ++rung; });
  EXPECT_FALSE(queue.wait_for(milliseconds(0)));
  for (std::uint64_t i = 0; i < 3; ++i) queue.push(event(Kind::counters, i));
  queue.end(Error{Cause::unavailable, "gone"});
  EXPECT_EQ(rung, 4);
  EXPECT_TRUE(queue.wait_for(milliseconds(0)));
  const auto first = queue.take(1);
  ASSERT_EQ(first.events.size(), 1U);
  EXPECT_EQ(first.events[0].session.counters.bytes_to_consumer, 0U);
  EXPECT_FALSE(first.ended) << "there is more";
  const auto rest = queue.take();
  ASSERT_EQ(rest.events.size(), 2U);
  EXPECT_EQ(rest.events[1].session.counters.bytes_to_consumer, 2U);
  ASSERT_TRUE(rest.ended);
  EXPECT_EQ(rest.ended->error().message, "gone");
  EXPECT_TRUE(queue.take().ended) << "it stays ended";
}

TEST(EventQueue, OfWhatNobodyTakesTheLatestCountersAndEveryStateAreKept) {
  EventQueue queue;
  constexpr std::uint64_t many = 5'000;
  for (std::uint64_t i = 0; i < many; ++i) {
    queue.push(event(Kind::counters, i));
    if (i % 100 == 0) queue.push(event(Kind::state, i));
  }
  const auto taken = queue.take().events;
  EXPECT_LT(taken.size(), 2'000U);
  std::uint64_t states = 0;
  std::uint64_t before = 0;
  for (const auto& each : taken) {
    if (each.kind == Kind::state) ++states;
    EXPECT_GE(each.session.counters.bytes_to_consumer, before) << "in order";
    before = each.session.counters.bytes_to_consumer;
  }
  EXPECT_EQ(states, many / 100);
  EXPECT_EQ(taken.back().session.counters.bytes_to_consumer, many - 1);
}

TEST(EventQueue, AnotherThreadIsWoken) {
  EventQueue queue;
  std::thread taking([&queue] { queue.wait(); });
  queue.push(event(Kind::state));
  taking.join();
  std::thread ending([&queue] {
    (void)queue.take();
    queue.wait();
  });
  queue.end({});
  ending.join();
  EXPECT_TRUE(queue.take().ended->ok());
}

}  // namespace
}  // namespace scistream::client

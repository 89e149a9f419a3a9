#include "relay/shaper.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace scistream::relay {
namespace {

using namespace std::chrono_literals;
using clock = Schedule::clock;

constexpr std::uint64_t megabyte_a_second = 8 * bits_per_megabit;

/// A moment long after any schedule began.
const clock::time_point now = clock::now() + 1h;

TEST(Schedule, WithoutARateEverythingMayGoAtOnce) {
  Schedule schedule;
  EXPECT_LT(schedule.book(SIZE_MAX, now), now);
  EXPECT_LT(schedule.book(SIZE_MAX, now), now);
  EXPECT_EQ(schedule.piece(), SIZE_MAX);
}

TEST(Schedule, BookingsFollowEachOtherAtTheRate) {
  Schedule schedule;
  schedule.set_rate(megabyte_a_second);
  const auto first = schedule.book(1'000, now);
  EXPECT_EQ(schedule.book(2'000, now), first + 1ms);
  EXPECT_EQ(schedule.book(1'000, now), first + 3ms);
  EXPECT_EQ(schedule.book(1, now + 1ms), first + 4ms) << "the order of booking decides";
}

TEST(Schedule, NoMoreThanTenMillisecondsWorthGoesAtOnce) {
  for (const std::uint64_t rate : {10U, 100U, 1'000U, 100'000U}) {
    Schedule schedule;
    schedule.set_rate(rate * bits_per_megabit);
    (void)schedule.book(1, now);
    const auto later = now + 10s;
    std::size_t at_once = 0;
    while (schedule.book(schedule.piece(), later) <= later) at_once += schedule.piece();
    EXPECT_LE(at_once, rate * bits_per_megabit / 8 / 100) << rate;
    EXPECT_GE(at_once, rate * bits_per_megabit / 8 / 200) << rate << ": late timers cost nothing";
  }
}

TEST(Schedule, KeepsItsRateWhenEveryTimerIsLate) {
  Schedule schedule;
  schedule.set_rate(100 * bits_per_megabit);
  auto time = now;
  std::size_t sent = 0;
  while (time < now + 10s) {
    const auto turn = schedule.book(schedule.piece(), time);
    time = std::max(time, turn + 5ms);
    sent += schedule.piece();
  }
  EXPECT_NEAR(static_cast<double>(sent), 125e6, 0.5e6);
}

TEST(Schedule, AChangeHoldsForWhatIsBookedAlready) {
  Schedule schedule;
  schedule.set_rate(megabyte_a_second);
  const auto present = clock::now();
  (void)schedule.book(100'000'000, present);
  schedule.set_rate(10 * megabyte_a_second);
  const auto next = schedule.book(1'000'000, present);
  EXPECT_GT(next, present + 9s);
  EXPECT_LT(next, present + 11s);
  EXPECT_EQ(schedule.book(1, present), next + 100ms);
  schedule.set_rate(0);
  EXPECT_LT(schedule.book(1'000'000, present), present);
  schedule.set_rate(megabyte_a_second);
  EXPECT_LT(schedule.book(1, present), clock::now() + 1s) << "nothing is left of it";
}

TEST(Schedule, PiecesAreTwoMillisecondsAndFitAPacketAndTheCache) {
  Schedule schedule;
  schedule.set_rate(1'000 * bits_per_megabit);
  EXPECT_EQ(schedule.piece(), 250'000U);
  EXPECT_EQ(schedule.piece(10), 25'000U);
  EXPECT_EQ(schedule.piece(1'000), 1'448U);
  schedule.set_rate(10 * bits_per_megabit);
  EXPECT_EQ(schedule.piece(), 2'500U);
  schedule.set_rate(1);
  EXPECT_EQ(schedule.piece(), 1'448U);
  schedule.set_rate(10'000'000 * bits_per_megabit);
  EXPECT_EQ(schedule.piece(), 524'288U);
  EXPECT_EQ(schedule.piece(16), 32'768U) << "a session of 16 gets what one of 1 does";
}

TEST(Schedule, NothingIsLostWhenManyThreadsBook) {
  Schedule schedule;
  schedule.set_rate(megabyte_a_second);
  const auto first = schedule.book(1'000, now);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1'000; ++n) (void)schedule.book(1'000, now);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(schedule.book(1, now), first + 4'001ms);
}

class ShaperTest : public ::testing::Test {
 protected:
  std::shared_ptr<Schedule> facility_ = std::make_shared<Schedule>();
  Shaper leased_{facility_};
  Shaper other_{facility_};
};

TEST_F(ShaperTest, WithoutAnyRateNothingIsLimited) {
  EXPECT_FALSE(other_.limits());
  EXPECT_FALSE(Shaper(nullptr).limits());
  other_.set_rate(1, false);
  EXPECT_TRUE(other_.limits());
  other_.set_rate(0, false);
  EXPECT_FALSE(other_.limits());
  facility_->set_rate(1);
  EXPECT_TRUE(other_.limits());
}

TEST_F(ShaperTest, TheFacilityIsSharedInTheOrderOfBooking) {
  facility_->set_rate(megabyte_a_second);
  Shaper another(facility_);
  const auto first = other_.book(1'000, now);
  EXPECT_EQ(another.book(1'000, now), first + 1ms);
  EXPECT_EQ(other_.book(1'000, now), first + 2ms);
}

TEST_F(ShaperTest, ALeaseNeverWaitsForTheFacilityAndOthersGetWhatItLeaves) {
  facility_->set_rate(megabyte_a_second);
  leased_.set_rate(megabyte_a_second / 2, true);
  const auto first = other_.book(10'000, now);
  EXPECT_LE(leased_.book(1'000, now), now) << "whoever else has booked";
  EXPECT_EQ(other_.book(1'000, now), first + 11ms) << "after its own and the lease's";
}

TEST_F(ShaperTest, AFacilityThatIsLeasedAsAWholeLetsOthersWaitASecondAtMost) {
  facility_->set_rate(megabyte_a_second);
  leased_.set_rate(megabyte_a_second, true);
  for (int i = 0; i < 10'000; ++i) (void)leased_.book(1'000, now);
  EXPECT_GT(other_.book(1'000, now), now + 900ms);
  EXPECT_LT(other_.book(1'000, now), now + 1'100ms);
}

TEST_F(ShaperTest, ACapThatIsNoLeaseWaitsForBoth) {
  facility_->set_rate(megabyte_a_second);
  Shaper capped(facility_);
  capped.set_rate(megabyte_a_second / 10, false);
  const auto first = capped.book(1'000, now);
  EXPECT_EQ(capped.book(1'000, now), first + 10ms) << "its own rate is the lower one";
  (void)other_.book(50'000, now);
  EXPECT_EQ(capped.book(1'000, now), first + 52ms) << "the facility is busy for longer";
}

TEST_F(ShaperTest, ASessionOfManyConnectionsBooksSmallPieces) {
  facility_->set_rate(1'000 * bits_per_megabit);
  EXPECT_EQ(other_.piece(), 250'000U);
  for (int i = 0; i < 5; ++i) other_.begin_wait();
  EXPECT_EQ(other_.piece(), 50'000U);
  for (int i = 0; i < 5; ++i) other_.end_wait();
  EXPECT_EQ(other_.piece(), 250'000U);
}

TEST(Shaping, EachDirectionHasTheRateToItself) {
  Shaping shaping({});
  shaping.set_rate(megabyte_a_second, false);
  Shaper& there = shaping.of(Direction::to_target);
  const auto first = there.book(10'000, now);
  EXPECT_EQ(shaping.of(Direction::to_client).book(1'000, now), first);
  EXPECT_EQ(there.book(1, now), first + 10ms);
}

}  // namespace
}  // namespace scistream::relay

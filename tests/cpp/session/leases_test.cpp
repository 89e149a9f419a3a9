#include "session/leases.hpp"

#include <gtest/gtest.h>

#include "session/addresses.hpp"
#include "session/released_ids.hpp"
#include "support/manual_scheduler.hpp"

namespace scistream::session {
namespace {

const SessionKey a{"a", Role::producer};
const SessionKey b{"b", Role::consumer};

// Protocol: ports-short, rate-explicit
TEST(Leases, SayHowMuchIsFreeAndLeaseNothingWhenShort) {
  Leases leases(10, 1000);
  ASSERT_TRUE(leases.lease(a, 6, 700).ok());
  const Status ports = leases.lease(b, 5, 0);
  EXPECT_EQ(ports.error().cause, Cause::exhausted);
  EXPECT_NE(ports.error().message.find("4 of 10"), std::string::npos) << ports.error().message;
  const Status rate = leases.lease(b, 1, 301);
  EXPECT_EQ(rate.error().cause, Cause::exhausted);
  EXPECT_NE(rate.error().message.find("300 of 1000"), std::string::npos) << rate.error().message;
  EXPECT_EQ(leases.ports_free(), 4);
  EXPECT_EQ(leases.capacity_free(), 300U);
  EXPECT_TRUE(leases.lease(b, 4, 300).ok());
}

// Protocol: lease-returned-once
TEST(Leases, ComeBackExactlyOnce) {
  Leases leases(10, 1000);
  ASSERT_TRUE(leases.lease(a, 6, 700).ok());
  EXPECT_EQ(leases.lease(a, 1, 0).error().cause, Cause::already_exists);
  EXPECT_TRUE(leases.give_back(a));
  EXPECT_FALSE(leases.give_back(a));
  EXPECT_EQ(leases.ports_free(), 10);
  EXPECT_EQ(leases.capacity_free(), 1000U);
}

// Protocol: rate-no-capacity
TEST(Leases, BandwidthIsUnlimitedWithoutACapacity) {
  Leases leases(10, 0);
  EXPECT_TRUE(leases.lease(a, 1, 9'000'000).ok());
  EXPECT_TRUE(leases.lease(b, 1, 9'000'000).ok());
}

// Protocol: released-ids-memory
TEST(ReleasedIds, AreForgottenAfterTenMinutes) {
  ManualScheduler clock;
  ReleasedIds ids(clock);
  ids.add("x", "");
  clock.advance(std::chrono::minutes(9));
  EXPECT_TRUE(ids.owner("x"));
  ids.add("x", "");
  clock.advance(std::chrono::minutes(9));
  EXPECT_TRUE(ids.owner("x"));
  clock.advance(std::chrono::minutes(1));
  EXPECT_FALSE(ids.owner("x"));
  EXPECT_EQ(ids.size(), 0U);
}

// Protocol: released-ids-memory
TEST(ReleasedIds, KeepTenThousand) {
  ManualScheduler clock;
  ReleasedIds ids(clock);
  for (int i = 0; i < 10'001; ++i) ids.add(std::to_string(i), "");
  EXPECT_EQ(ids.size(), ReleasedIds::most);
  EXPECT_FALSE(ids.owner("0"));
  EXPECT_TRUE(ids.owner("10000"));
}

// Protocol: advertise
TEST(Addresses, AnnounceTheOutsideNameAndPort) {
  Addresses addresses;
  addresses.ports = {5100, 5200};
  addresses.wan = {"0.0.0.0", "gateway.example"};
  addresses.announced_first_port = 30100;
  EXPECT_EQ(addresses.announce(Role::producer, {5100, 5107}, "192.0.2.1"),
            (std::vector<std::string>{"gateway.example:30100", "gateway.example:30107"}));
}

// Protocol: wildcard-route
TEST(Addresses, FallBackToTheRouteToTheCaller) {
  Addresses addresses;
  addresses.ports = {5100, 5200};
  addresses.route_source = [](const std::string& caller) {
    return caller == "::1" ? "::1" : "127.0.0.1";
  };
  EXPECT_EQ(addresses.announce(Role::consumer, {5100}, "::1"),
            std::vector<std::string>{"[::1]:5100"});
}

}  // namespace
}  // namespace scistream::session

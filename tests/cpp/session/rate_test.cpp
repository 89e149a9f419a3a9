// What sessions may take of the network, and how that changes.
#include "session/manager_fixture.hpp"

namespace scistream::session {
namespace {

class RateTest : public ManagerTest {
 protected:
  std::shared_ptr<Slot<RateInForce>> set_rate(const std::string& uid, long long mbps,
                                              bool is_explicit = true) {
    return ask<RateInForce>(
        [&](auto done) { manager->set_rate(uid, {mbps, is_explicit}, by, done); });
  }
  void set_up_at(const std::string& uid, Rate rate, Role role = Role::producer) {
    Request wanted = want(uid, role, 1);
    wanted.rate = rate;
    req(wanted);
    Hello greeting = greet(uid);
    greeting.role = role;
    ASSERT_TRUE(hello(greeting)->ok());
    UpdateTargets targets = aim(uid);
    targets.role = role;
    targets.role_is_binding = true;
    ASSERT_TRUE(update(targets)->ok());
  }
  dataserver::RateLimit limit(const std::string& uid, Role role = Role::producer) {
    return data_server->rates.at({uid, role});
  }
  void without_capacity() {
    ManagerOptions unlimited = options();
    unlimited.capacity_mbps = 0;
    manager = std::make_unique<Manager>(time, data_server, store, unlimited, null_logger());
  }
};

// Protocol: rate-explicit, rate-binds
TEST_F(RateTest, ARateTheUserGaveIsLeasedAndBinds) {
  set_up_at("a", {300, true});
  EXPECT_EQ(limit("a").mbps, 300U);
  EXPECT_TRUE(limit("a").leased);
  EXPECT_EQ(limit("a").capacity_mbps, 1000U);
  EXPECT_EQ(capacity().mbps_free, 700U);
}

// Protocol: rate-unmarked, rate-binds
TEST_F(RateTest, ARateNobodyAskedForBindsOnlyWhereThereIsACapacity) {
  set_up_at("a", {300, false});
  EXPECT_EQ(limit("a").mbps, 300U);
  EXPECT_FALSE(limit("a").leased);
  EXPECT_EQ(capacity().mbps_free, 1000U);

  without_capacity();
  set_up_at("b", {300, false});
  EXPECT_EQ(limit("b").mbps, 0U);
  EXPECT_EQ(limit("b").capacity_mbps, 0U);
}

// Protocol: rate-no-capacity, rate-binds
TEST_F(RateTest, WithoutACapacityARateThatWasGivenBindsAndIsNoLease) {
  without_capacity();
  set_up_at("a", {300, true});
  EXPECT_EQ(limit("a").mbps, 300U);
  EXPECT_FALSE(limit("a").leased);
}

// Protocol: rate-change
TEST_F(RateTest, AChangeReachesTheDataServerAndTheLease) {
  set_up_at("a", {300, true});
  const auto changed = set_rate("a", 900);
  ASSERT_TRUE(changed->ok());
  EXPECT_TRUE((*changed->result)->is_leased);
  EXPECT_EQ((*changed->result)->previous, (Rate{300, true}));
  EXPECT_EQ(limit("a").mbps, 900U);
  EXPECT_EQ(capacity().mbps_free, 100U);
  EXPECT_EQ(list({"a"}).front().rate_mbps, 900);
  EXPECT_EQ((data_server->targets[{"a", Role::producer}]), aim("a").targets) << "as they were";

  ASSERT_TRUE(set_rate("a", 0)->ok());
  EXPECT_EQ(limit("a").mbps, 0U);
  EXPECT_FALSE(limit("a").leased);
  EXPECT_EQ(capacity().mbps_free, 1000U);
}

// Protocol: rate-change-refused
TEST_F(RateTest, WhatIsNotFreeIsRefusedForBothRolesAndChangesNothing) {
  set_up_at("a", {300, true});
  set_up_at("a", {300, true}, Role::consumer);
  const auto refused = set_rate("a", 600);
  EXPECT_EQ(refused->cause(), "exhausted");
  EXPECT_NE(refused->result->error().message.find("400 of 1000"), std::string::npos)
      << refused->result->error().message;
  for (const Role role : {Role::producer, Role::consumer}) EXPECT_EQ(limit("a", role).mbps, 300U);
  for (const SessionView& view : list({"a"})) EXPECT_EQ(view.rate_mbps, 300);
  EXPECT_EQ(capacity().mbps_free, 400U);
  ASSERT_TRUE(set_rate("a", 500)->ok());
  EXPECT_EQ(capacity().mbps_free, 0U);
}

// Protocol: rate-change
TEST_F(RateTest, AChangeBeforeTheTargetsGoesWithThem) {
  req(want("a"));
  ASSERT_TRUE(hello(greet("a"))->ok());
  ASSERT_TRUE(set_rate("a", 250)->ok());
  EXPECT_TRUE(data_server->rates.empty());
  ASSERT_TRUE(update(aim("a"))->ok());
  EXPECT_EQ(limit("a").mbps, 250U);
}

TEST_F(RateTest, AChangeWaitsForAnUpdateThatIsUnderWay) {
  set_up_at("a", {300, true});
  data_server->answer_at_once = false;
  const auto moved = update(aim("a", {{"elsewhere", 1}}));
  const auto changed = set_rate("a", 500);
  EXPECT_EQ(data_server->waiting.size(), 1U);
  data_server->answer_one();
  time.run();
  EXPECT_TRUE(moved->ok());
  EXPECT_TRUE(changed->pending());
  data_server->answer_one();
  time.run();
  EXPECT_TRUE(changed->ok());
  EXPECT_EQ(limit("a").mbps, 500U);
  EXPECT_EQ((data_server->targets[{"a", Role::producer}].front().host), "elsewhere");
}

// Protocol: rate-kept
TEST_F(RateTest, AChangeSurvivesTheDeathOfEitherServer) {
  set_up_at("a", {300, true});
  ASSERT_TRUE(set_rate("a", 500)->ok());
  data_server->die();
  restart();
  EXPECT_EQ(limit("a").mbps, 500U);
  EXPECT_EQ(capacity().mbps_free, 500U);
  EXPECT_EQ(list({"a"}).front().rate_mbps, 500);
  // Its client's repeated request means this session still.
  Request again = want("a", Role::producer, 1);
  again.rate = {300, true};
  EXPECT_TRUE(req(again)->ok());
}

TEST_F(RateTest, AChangeThatCannotBeKeptIsNoChange) {
  set_up_at("a", {300, true});
  store->fail = Error{Cause::exhausted, "the disk is full"};
  EXPECT_EQ(set_rate("a", 500)->cause(), "exhausted");
  store->fail.reset();
  EXPECT_EQ(limit("a").mbps, 300U);
  EXPECT_EQ(list({"a"}).front().rate_mbps, 300);
  EXPECT_EQ(capacity().mbps_free, 700U);
}

TEST_F(RateTest, ADataServerThatDoesNotTakeAChangeEndsNothing) {
  set_up_at("a", {300, true});
  data_server->fail_next = Error{Cause::timeout, "no answer"};
  EXPECT_EQ(set_rate("a", 500)->cause(), "timeout");
  ASSERT_EQ(list({"a"}).size(), 1U);
  EXPECT_EQ(list({"a"}).front().phase, Phase::ready);
  ASSERT_TRUE(set_rate("a", 400)->ok());
  EXPECT_EQ(limit("a").mbps, 400U);
}

// Protocol: rate-change-bad
TEST_F(RateTest, WhatMakesNoSenseIsRefused) {
  EXPECT_EQ(set_rate("nobody", 1)->cause(), "not_found");
  EXPECT_EQ(set_rate("no/body", 1)->cause(), "invalid_argument");
  set_up_at("a", {300, true});
  EXPECT_EQ(set_rate("a", -1)->cause(), "invalid_argument");
  EXPECT_EQ(set_rate("a", max_rate_mbps + 1)->cause(), "invalid_argument");
  data_server->answer_at_once = false;
  req(want("b"));
  EXPECT_EQ(set_rate("b", 1)->cause(), "failed_precondition");
}

TEST_F(RateTest, AReleaseEndsAChangeThatWaits) {
  set_up_at("a", {300, true});
  data_server->answer_at_once = false;
  const auto changed = set_rate("a", 500);
  const auto released = release("a");
  EXPECT_EQ(changed->cause(), "cancelled");
  while (data_server->answer_one()) time.run();
  time.run();
  while (data_server->answer_one()) time.run();
  EXPECT_TRUE(released->ok());
  expect_nothing_reserved();
}

}  // namespace
}  // namespace scistream::session

// Sessions that outlive their control server.
#include "session/manager_fixture.hpp"

namespace scistream::session {
namespace {

// Protocol: update-again, control-restart
TEST_F(ManagerTest, AReadySessionIsFoundAgainAsItWas) {
  auto wanted = want("a", Role::producer, 3);
  wanted.labels = {{"job", "42"}};
  wanted.rate.mbps = 300;
  wanted.rate.is_explicit = true;
  const auto requested = req(wanted);
  ASSERT_TRUE(hello(greet("a"))->ok());
  ASSERT_TRUE(update(aim("a", {{"10.0.0.9", 7000}}))->ok());
  time.advance(seconds(30));
  const SessionView before = list({"a"}).front();
  const Capacity leased = capacity();
  const auto held = data_server->held;

  restart();

  const auto views = list({"a"});
  ASSERT_EQ(views.size(), 1U);
  const SessionView& after = views.front();
  EXPECT_EQ(after.phase, Phase::ready);
  EXPECT_EQ(after.listeners, before.listeners);
  EXPECT_EQ(after.targets, before.targets);
  EXPECT_EQ(after.labels, before.labels);
  EXPECT_TRUE(after.rate_is_leased);
  EXPECT_EQ(data_server->held, held) << "the same ports";
  EXPECT_EQ(capacity().ports_free, leased.ports_free);
  EXPECT_EQ(capacity().mbps_free, leased.mbps_free);
  EXPECT_EQ(capacity().sessions, 1U);
  EXPECT_TRUE(update(aim("a", {{"10.0.0.9", 7001}}))->ok()) << "it can be given other targets";
  restart();
  EXPECT_EQ(list({"a"}).front().targets.front(), "10.0.0.9:7001");
  EXPECT_TRUE(release("a")->ok());
  expect_nothing_reserved();
}

// Protocol: release-drain
TEST_F(ManagerTest, AUsersDrainGoesOnUnderTheNextControlServerForAsLongAsItTakes) {
  set_up("a");
  data_server->answer_at_once = false;
  (void)release("a", "", dataserver::Ending::drain);
  data_server->waiting.clear();  // killed while it waits
  restart();
  time.advance(std::chrono::hours(10));
  ASSERT_EQ(data_server->waiting.size(), 1U) << "nobody cuts it";
  data_server->answer_one();
  time.run();
  EXPECT_EQ(data_server->log.back(), "drain a/PROD");
  EXPECT_TRUE(list({"a"}).empty());
}

// Protocol: data-server-silent
TEST_F(ManagerTest, WhatEndedWhileTheDataServerWasSilentIsEndedThereWhenItIsBack) {
  manager = std::make_unique<Manager>(
      time, data_server, store, options(), null_logger(),
      [this](auto done) { done(std::shared_ptr<dataserver::DataServer>(data_server)); });
  set_up("a");
  set_up("b");
  data_server->counters.bytes_to_consumer = 1000;
  EXPECT_EQ(list({"b"}).front().counters.bytes_to_consumer, 1000U);
  data_server->answer_at_once = false;
  const auto released = release("a");
  dataserver::Event lost;
  lost.kind = dataserver::Event::Kind::lost;
  data_server->observe(lost);  // it keeps what it has
  data_server->answer_one(0, Error{Cause::unavailable, "watchdog"});
  data_server->answer_at_once = true;
  time.run();
  EXPECT_TRUE(released->ok());
  EXPECT_FALSE(data_server->held.contains({"a", Role::producer})) << "its listeners are gone";
  EXPECT_TRUE(data_server->held.contains({"b", Role::producer}));
  EXPECT_EQ(list({"b"}).front().counters.bytes_to_consumer, 1000U) << "and not counted twice";
}

// Protocol: data-server-silent, data-key-released
TEST_F(ManagerTest, TheSameIdRequestedMeanwhileIsNotGivenWhatItsPredecessorHad) {
  bool back = false;
  manager = std::make_unique<Manager>(time, data_server, store, options(), null_logger(),
                                      [this, &back](auto done) {
                                        if (!back) return done(Error{Cause::unavailable, "away"});
                                        done(std::shared_ptr<dataserver::DataServer>(data_server));
                                      });
  set_up("a");
  dataserver::Event lost;
  lost.kind = dataserver::Event::Kind::lost;
  data_server->observe(lost);
  time.run();
  data_server->fail_next = Error{Cause::unavailable, "away"};
  ASSERT_TRUE(release("a")->ok());
  const auto again = req(want("a", Role::producer, 3));
  EXPECT_TRUE(again->pending());
  back = true;
  time.advance(seconds(1));
  EXPECT_TRUE(hello(greet("a"))->ok());
  ASSERT_TRUE(again->ok()) << again->cause();
  EXPECT_EQ((*again->result)->listeners.size(), 3U);
  EXPECT_TRUE(data_server->targets.empty()) << "nothing is forwarded yet";
  EXPECT_TRUE(release("a")->ok());
  expect_nothing_reserved();
}

// Protocol: data-server-counters
TEST_F(ManagerTest, WhatADeadDataServerCountedIsAddedTo) {
  manager = std::make_unique<Manager>(
      time, data_server, store, options(), null_logger(),
      [this](auto done) { done(std::shared_ptr<dataserver::DataServer>(data_server)); });
  set_up("a");
  data_server->counters.bytes_to_consumer = 1000;
  data_server->counters.connections_total = 3;
  data_server->counters.connections_active = 2;
  EXPECT_EQ(list({"a"}).front().counters.bytes_to_consumer, 1000U);
  data_server->die();
  data_server->counters = {};
  time.run();
  data_server->counters.bytes_to_consumer = 50;
  data_server->counters.connections_total = 1;
  const auto expect_sum = [this] {
    const auto now = list({"a"}).front().counters;
    EXPECT_EQ(now.bytes_to_consumer, 1050U);
    EXPECT_EQ(now.connections_total, 4U);
    EXPECT_EQ(now.errors, 2U) << "those that were live were reset";
    EXPECT_EQ(now.connections_active, 0U);
  };
  expect_sum();
  restart();
  expect_sum();
}

TEST_F(ManagerTest, ASessionThatWaitsForItsHelloIsCompletedByTheClientsRetry) {
  (void)req(want("a"));
  restart();
  const auto again = req(want("a"));
  EXPECT_TRUE(again->pending());
  EXPECT_TRUE(hello(greet("a"))->ok());
  ASSERT_TRUE(again->ok());
  EXPECT_EQ((*again->result)->listeners.size(), 2U);
  EXPECT_TRUE(update(aim("a"))->ok());
  EXPECT_TRUE(release("a")->ok());
  expect_nothing_reserved();
}

// Protocol: cut-request
TEST_F(ManagerTest, ASessionWhoseClientDoesNotComeBackIsGoneAfterTenSeconds) {
  (void)req(want("a"));
  restart();
  time.advance(milliseconds(9'900));
  EXPECT_EQ(list({"a"}).size(), 1U);
  time.advance(milliseconds(200));
  EXPECT_TRUE(list({"a"}).empty());
  expect_nothing_reserved();
}

// Protocol: hello-repeated
TEST_F(ManagerTest, ARequestWhoseHelloHadComeIsAnsweredAfterARestart) {
  const auto lost = req(want("a"));
  (void)hello(greet("a", {"10.0.0.1:1", "10.0.0.1:2"}));
  restart();
  const auto again = req(want("a"));
  ASSERT_TRUE(again->ok());
  EXPECT_EQ((*again->result)->prod_listeners,
            (std::vector<std::string>{"10.0.0.1:1", "10.0.0.1:2"}));
  EXPECT_TRUE(hello(greet("a", {"10.0.0.1:1", "10.0.0.1:2"}))->ok()) << "as is its hello";
  EXPECT_TRUE(update(aim("a"))->ok());
}

// Protocol: no-update
TEST_F(ManagerTest, WithoutItsUpdateASessionEndsAfterARestartAsWell) {
  (void)req(want("a"));
  (void)hello(greet("a"));
  restart();
  time.advance(milliseconds(179'000));
  EXPECT_EQ(list({"a"}).size(), 1U);
  time.advance(milliseconds(2'000));
  expect_nothing_reserved();
}

// Protocol: hello-nonce-once
TEST_F(ManagerTest, AHelloIsNotTakenTwiceNotEvenByTheNextControlServer) {
  auto wanted = want("a");
  wanted.app_key = Secret::random(key_size);
  (void)req(wanted);
  Hello message = greet("a");
  message.role = Role::producer;
  sign(message, wanted.app_key);
  ASSERT_TRUE(hello(message)->ok());
  restart();
  EXPECT_EQ(hello(message)->cause(), "unauthenticated");
  sign(message, wanted.app_key);
  EXPECT_TRUE(hello(message)->ok());
}

TEST_F(ManagerTest, AReservationThatNobodyHeardOfIsGivenBack) {
  data_server->answer_at_once = false;
  (void)req(want("a"));
  restart();
  EXPECT_TRUE(list({"a"}).empty());
  expect_nothing_reserved();
}

TEST_F(ManagerTest, AReleaseGoesOnAfterARestart) {
  set_up("a");
  data_server->answer_at_once = false;
  const auto cut_off = release("a");
  data_server->waiting.clear();  // it was killed before the data server heard of it
  data_server->answer_at_once = true;
  restart();
  EXPECT_TRUE(list({"a"}).empty());
  expect_nothing_reserved();
  EXPECT_TRUE(release("a")->ok()) << "and its id is known as released";
}

TEST_F(ManagerTest, ADrainThatGoesOnAfterARestartIsCutInTheEnd) {
  set_up("a");
  data_server->answer_at_once = false;
  manager->shut_down(seconds(30), [](const Status&) {});
  time.run();
  data_server->waiting.clear();  // killed while it waits
  restart();
  ASSERT_EQ(list({"a"}).front().state, State::releasing);
  EXPECT_EQ(data_server->waiting.size(), 1U) << "it drains on";
  time.advance(seconds(31));
  ASSERT_EQ(data_server->waiting.size(), 2U);
  data_server->answer_one(1);
  time.run();
  EXPECT_EQ(data_server->log.back(), "cut a/PROD");
  EXPECT_TRUE(list({"a"}).empty());
}

// Protocol: keys-wiped
TEST_F(ManagerTest, KeysAreWipedSoonAfterTheirSession) {
  set_up("a");
  set_up("b");
  ASSERT_TRUE(release("a")->ok());
  ASSERT_TRUE(release("b")->ok());
  EXPECT_EQ(store->tidied, 0);
  time.advance(seconds(1));
  EXPECT_EQ(store->tidied, 1) << "once for many";
}

// Protocol: released-ids-kept
TEST_F(ManagerTest, ReleasedIdsAreRememberedForTenMinutesInAll) {
  set_up("a");
  ASSERT_TRUE(release("a")->ok());
  store->released["a"] -= std::chrono::minutes(9);
  restart();
  EXPECT_TRUE(release("a")->ok());
  time.advance(std::chrono::minutes(2));
  EXPECT_EQ(release("a")->cause(), "not_found");
}

// Protocol: both-killed
TEST_F(ManagerTest, ADataServerThatDiedToGetsEverythingBack) {
  set_up("a");
  const auto held = data_server->held;
  const auto targets = data_server->targets;
  data_server = std::make_shared<ScriptedDataServer>();
  restart();
  EXPECT_EQ(data_server->held, held);
  EXPECT_EQ(data_server->targets, targets);
}

// Protocol: lifetime-restart
TEST_F(ManagerTest, ALifetimeIsNotStartedAnew) {
  auto calendar = std::chrono::system_clock::now();
  auto wanted = want("a");
  wanted.lifetime = seconds(100);
  manager.reset();
  const auto start = [&] {
    auto with_calendar = options();
    with_calendar.calendar = [&calendar] { return calendar; };
    manager = std::make_unique<Manager>(time, data_server, store, with_calendar, null_logger());
    manager->resume(*store->load(), [](const Status&) {});
    time.run();
  };
  start();
  (void)req(wanted);
  (void)hello(greet("a"));
  ASSERT_TRUE(update(aim("a"))->ok());
  calendar += seconds(90);
  manager.reset();
  start();
  time.advance(seconds(9));
  EXPECT_EQ(list({"a"}).size(), 1U);
  calendar -= std::chrono::hours(1);  // set back: as long as at most, no longer
  manager.reset();
  start();
  time.advance(seconds(99));
  EXPECT_EQ(list({"a"}).size(), 1U);
  time.advance(seconds(2));
  EXPECT_TRUE(list({"a"}).empty());
}

TEST_F(ManagerTest, AFullDiskRefusesNewSessionsAndHarmsNoOther) {
  set_up("a");
  store->fail = Error{Cause::exhausted, "the session store: database or disk is full"};
  const auto refused = req(want("b"));
  EXPECT_EQ(refused->cause(), "exhausted");
  EXPECT_NE(refused->result->error().message.find("disk is full"), std::string::npos);
  EXPECT_EQ(data_server->held.size(), 1U) << "b's listeners are given back";
  EXPECT_TRUE(update(aim("a", {{"10.0.0.9", 7001}}))->ok()) << "a streams and goes on";
  EXPECT_EQ(list({"a"}).size(), 1U);
  EXPECT_TRUE(release("a")->ok());
  EXPECT_EQ(store->records.size(), 1U);
  store->fail.reset();
  time.advance(seconds(6));
  expect_nothing_reserved();
}

TEST_F(ManagerTest, AHelloThatCannotBeKeptMayBeSaidAgain) {
  const auto requested = req(want("a"));
  store->fail = Error{Cause::exhausted, "full"};
  EXPECT_EQ(hello(greet("a"))->cause(), "exhausted");
  EXPECT_TRUE(requested->pending());
  store->fail.reset();
  EXPECT_TRUE(hello(greet("a"))->ok());
  EXPECT_TRUE(requested->ok());
}

TEST_F(ManagerTest, ALargerSessionThanTheNewRangeAllowsKeepsItsLease) {
  (void)req(want("a", Role::producer, 8));
  (void)hello(greet("a"));
  ASSERT_TRUE(update(aim("a"))->ok());
  manager.reset();
  auto smaller = options();
  smaller.addresses.ports = {5100, 5103};
  manager = std::make_unique<Manager>(time, data_server, store, smaller, null_logger());
  manager->resume(*store->load(), [](const Status&) {});
  time.run();
  EXPECT_EQ(capacity().ports_free, 0);
  EXPECT_EQ(req(want("b"))->cause(), "exhausted");
  EXPECT_TRUE(release("a")->ok());
  EXPECT_EQ(capacity().ports_free, 4);
}

}  // namespace
}  // namespace scistream::session

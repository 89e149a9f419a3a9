#include "session/manager.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "session/manager_fixture.hpp"

namespace scistream::session {
namespace {

// Protocol: transport-requested, data-key-size
TEST_F(ManagerTest, AnUpdateBringsWhatWasRequestedAndAKeyThatFits) {
  auto encrypting = options();
  encrypting.transports = {"tcp", "tls"};
  manager = std::make_unique<Manager>(time, data_server, store, encrypting, null_logger());
  auto wanted = want("a");
  wanted.transport = "tls";
  const auto requested = req(wanted);
  ASSERT_TRUE(hello(greet("a"))->ok());
  ASSERT_TRUE(requested->ok());
  EXPECT_EQ((*requested->result)->transport, "tls");
  auto targets = aim("a");
  EXPECT_EQ(update(targets)->cause(), "invalid_argument") << "plain";
  targets.transport = "tls";
  for (const std::size_t size : {0U, 31U, 33U}) {
    targets.data_key = Secret::random(size);
    EXPECT_EQ(update(targets)->cause(), "invalid_argument") << size;
  }
  targets.data_key = Secret::random(key_size);
  EXPECT_TRUE(update(targets)->ok());
  EXPECT_EQ(list({"a"}).front().protection, "encrypted");
  ASSERT_TRUE(release("a")->ok());

  (void)req(want("b"));
  (void)hello(greet("b"));
  auto plain = aim("b");
  plain.data_key = Secret::random(key_size);
  EXPECT_EQ(update(plain)->cause(), "invalid_argument") << "a key that protects nothing";
  EXPECT_TRUE(release("b")->ok());
  expect_nothing_reserved();
}

TEST_F(ManagerTest, ATransportTheDataServerCannotDoIsRefused) {
  auto wanted = want("a");
  wanted.transport = "tls";
  EXPECT_EQ(req(wanted)->cause(), "failed_precondition");
  wanted.transport = "carrier pigeon";
  EXPECT_EQ(req(wanted)->cause(), "invalid_argument");
  expect_nothing_reserved();
}

// Protocol: require-encryption
TEST_F(ManagerTest, PlainSessionsMayBeRefused) {
  auto strict = options();
  strict.transports = {"tcp", "tls"};
  strict.require_encryption = true;
  manager = std::make_unique<Manager>(time, data_server, store, strict, null_logger());
  EXPECT_EQ(req(want("a"))->cause(), "failed_precondition");
  auto wanted = want("a");
  wanted.transport = "tls";
  EXPECT_TRUE(req(wanted)->pending());
  EXPECT_TRUE(release("a")->ok());
  expect_nothing_reserved();
}

// Protocol: release-drain
TEST_F(ManagerTest, AReleaseMayWaitForLiveConnections) {
  set_up("a");
  data_server->answer_at_once = false;
  const auto drained = release("a", "", dataserver::Ending::drain);
  EXPECT_EQ(list({"a"}).front().state, State::releasing);
  const auto again = release("a", "", dataserver::Ending::drain);
  ASSERT_EQ(data_server->waiting.size(), 1U) << "a second one waits with it";
  EXPECT_TRUE(drained->pending());
  data_server->answer_one();
  time.run();
  EXPECT_EQ(data_server->log.back(), "drain a/PROD");
  EXPECT_TRUE(drained->ok());
  EXPECT_TRUE(again->ok());
  data_server->answer_at_once = true;
  expect_nothing_reserved();
}

// Protocol: release-drain, lifetime-max-session
TEST_F(ManagerTest, ALifetimeEndsASessionThatWaitsForLiveConnectionsAsWell) {
  auto limited = options();
  limited.max_session = seconds(60);
  manager = std::make_unique<Manager>(time, data_server, store, limited, null_logger());
  set_up("a");
  data_server->answer_at_once = false;
  const auto drained = release("a", "", dataserver::Ending::drain);
  time.advance(seconds(59));
  ASSERT_EQ(data_server->waiting.size(), 1U);
  time.advance(seconds(2));
  ASSERT_EQ(data_server->waiting.size(), 2U);
  data_server->answer_one(1);
  time.run();
  EXPECT_EQ(data_server->log.back(), "cut a/PROD");
  EXPECT_TRUE(drained->ok());
}

// Protocol: release-drain
TEST_F(ManagerTest, WhoDoesNotWaitForADrainAnyMoreIsForgotten) {
  set_up("a");
  data_server->answer_at_once = false;
  auto slot = std::make_shared<Slot<void>>();
  const Ticket ticket =
      manager->release("a", "", dataserver::Ending::drain, by,
                       [slot](const Status& status) { slot->callback()(status); });
  time.run();
  manager->withdraw(ticket);
  time.run();
  EXPECT_EQ(slot->cause(), "cancelled");
  data_server->answer_one();
  time.run();
  EXPECT_EQ(slot->calls, 1);
  data_server->answer_at_once = true;
  expect_nothing_reserved();
}

// Protocol: claim
TEST_F(ManagerTest, AReleaseWithAClaimLeavesTheRequestsOfOthersWaiting) {
  auto mine = want("a", Role::producer, 2);
  mine.claim = "mine";
  const auto first = req(mine);
  auto theirs = want("a", Role::producer, 3);
  theirs.claim = "theirs";
  const auto second = req(theirs);
  EXPECT_TRUE(second->pending()) << "it waits for the verdict";
  EXPECT_TRUE(release("a", "mine")->ok());
  EXPECT_EQ(first->cause(), "cancelled");
  EXPECT_TRUE(second->pending()) << "and has the id now";
  EXPECT_TRUE(hello(greet("a"))->ok());
  ASSERT_TRUE(second->ok());
  EXPECT_EQ((*second->result)->listeners.size(), 3U);
  EXPECT_TRUE(release("a", "theirs")->ok());
  expect_nothing_reserved();
}

// Protocol: release-repeated-inside
TEST_F(ManagerTest, AReleaseGoesOnUntilTheDataServerHasHeardOfIt) {
  set_up("a");
  data_server->answer_at_once = false;
  const auto released = release("a");
  for (int attempt = 0; attempt < 20; ++attempt) {
    ASSERT_TRUE(data_server->answer_one(0, Error{Cause::timeout, "no answer"}));
    time.advance(seconds(5));
    EXPECT_EQ(list({"a"}).front().state, State::releasing);
  }
  data_server->answer_at_once = true;
  data_server->answer_one();
  time.run();
  EXPECT_TRUE(released->ok());
  expect_nothing_reserved();
}

// Protocol: release-drain-cut
TEST_F(ManagerTest, AnotherReleaseCutsOneThatWaits) {
  set_up("a");
  data_server->answer_at_once = false;
  const auto drained = release("a", "", dataserver::Ending::drain);
  const auto cut = release("a");
  ASSERT_EQ(data_server->waiting.size(), 2U);
  data_server->answer_one(1);
  time.run();
  EXPECT_EQ(data_server->log.back(), "cut a/PROD");
  EXPECT_TRUE(drained->ok());
  EXPECT_TRUE(cut->ok());
  data_server->waiting.clear();
  data_server->answer_at_once = true;
  expect_nothing_reserved();
}

// Protocol: req-open-until-hello, req-answers-listeners, req-answers-all-addresses
// Protocol: hello-answers-listeners
TEST_F(ManagerTest, RequestAnswersWhenHelloHasCome) {
  const auto requested = req(want("a"));
  EXPECT_TRUE(requested->pending());
  const auto greeted = hello(greet("a", {"10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3"}));
  ASSERT_TRUE(greeted->ok());
  ASSERT_TRUE(requested->ok());
  EXPECT_EQ((*requested->result)->listeners,
            (std::vector<std::string>{"127.0.0.1:5100", "127.0.0.1:5101"}));
  EXPECT_EQ((*requested->result)->prod_listeners.size(),
            3U);  // every address, whatever num_conn is
  EXPECT_EQ((*greeted->result)->listeners, (*requested->result)->listeners);
}

// Protocol: extra-targets-ignored, update-answer
TEST_F(ManagerTest, UpdateWrapsOrCutsTargetsToNumConn) {
  set_up("a");
  const auto wrapped = update(aim("a", {{"h", 1}}));
  EXPECT_EQ((*wrapped->result)->targets, (std::vector<std::string>{"h:1", "h:1"}));
  const auto cut = update(aim("a", {{"h", 1}, {"h", 2}, {"h", 3}}));
  EXPECT_EQ((*cut->result)->targets, (std::vector<std::string>{"h:1", "h:2"}));
  EXPECT_EQ((data_server->targets[{"a", Role::producer}].size()), 2U);
}

// Protocol: hello-before-req
TEST_F(ManagerTest, HelloBeforeItsRequestIsHeldForIt) {
  const auto early = hello(greet("a"));
  EXPECT_TRUE(early->pending());
  time.advance(milliseconds(1999));
  EXPECT_TRUE(early->pending());
  const auto requested = req(want("a"));
  EXPECT_TRUE(early->ok());
  EXPECT_TRUE(requested->ok());
}

// Protocol: hello-held-two-seconds
TEST_F(ManagerTest, HelloWithoutRequestIsNotFoundAfterTwoSeconds) {
  const auto early = hello(greet("a"));
  time.advance(seconds(2));
  EXPECT_EQ(early->cause(), "not_found");
}

// Protocol: held-hellos-bounded
TEST_F(ManagerTest, HeldHellosAreBounded) {
  std::vector<std::shared_ptr<Slot<HelloAnswer>>> held;
  for (std::size_t i = 0; i < 1024; ++i) held.push_back(hello(greet("x" + std::to_string(i))));
  EXPECT_TRUE(held.back()->pending());
  EXPECT_EQ(hello(greet("one-too-many"))->cause(), "not_found");
}

// Protocol: hello-while-reserving
TEST_F(ManagerTest, HelloWhileReservingWaitsForTheListeners) {
  data_server->answer_at_once = false;
  const auto requested = req(want("a"));
  const auto greeted = hello(greet("a"));
  EXPECT_TRUE(greeted->pending());
  data_server->answer_one();
  time.run();
  EXPECT_TRUE(greeted->ok());
  EXPECT_TRUE(requested->ok());
}

// Protocol: req-consumer-no-addresses, hello-producer-addresses, hello-consumer-empty
TEST_F(ManagerTest, ProducerHelloWithoutAddressesIsRefusedConsumerIsNot) {
  const auto producer = req(want("a", Role::producer));
  EXPECT_EQ(hello(greet("a", {}))->cause(), "invalid_argument");
  EXPECT_TRUE(producer->pending());
  const auto consumer = req(want("b", Role::consumer));
  EXPECT_TRUE(hello(greet("b", {}))->ok());
  EXPECT_TRUE(consumer->ok());
  EXPECT_TRUE((*consumer->result)->prod_listeners.empty());
}

// Protocol: req-consumer-no-addresses, request-role-decides
TEST_F(ManagerTest, SessionRoleDecidesNotTheRoleInHello) {
  const auto consumer = req(want("a", Role::consumer));
  Hello deployed = greet("a", {"127.0.0.1:9000"});
  deployed.role = Role::producer;
  EXPECT_TRUE(hello(deployed)->ok());
  EXPECT_TRUE(consumer->ok());
  EXPECT_TRUE((*consumer->result)->prod_listeners.empty());
}

// Protocol: hello-to-waiting
TEST_F(ManagerTest, HelloGoesFirstToTheRoleThatStillWaits) {
  const auto producer = req(want("a", Role::producer));
  ASSERT_TRUE(hello(greet("a"))->ok());
  const auto consumer = req(want("a", Role::consumer));
  Hello deployed = greet("a", {"127.0.0.1:9000"});
  deployed.role = Role::producer;
  EXPECT_TRUE(hello(deployed)->ok());
  EXPECT_TRUE(consumer->ok());
}

// Protocol: binding-role
TEST_F(ManagerTest, ABindingRoleNeverReachesTheOtherSession) {
  const auto consumer = req(want("a", Role::consumer));
  Hello ours = greet("a");
  ours.role = Role::producer;
  ours.role_is_binding = true;
  const auto greeted = hello(ours);
  EXPECT_TRUE(greeted->pending());
  EXPECT_TRUE(consumer->pending());
  const auto producer = req(want("a", Role::producer));
  EXPECT_TRUE(greeted->ok());
  EXPECT_TRUE(producer->ok());
  EXPECT_TRUE(consumer->pending());
}

// Protocol: update-by-role, update-to-waiting
TEST_F(ManagerTest, UpdateWithoutRoleWhereBothLiveIsRefused) {
  set_up("a", Role::producer);
  set_up("a", Role::consumer);
  EXPECT_EQ(update(aim("a"))->cause(), "invalid_argument");
  UpdateTargets named = aim("a", {{"other", 1}});
  named.role = Role::consumer;
  EXPECT_TRUE(update(named)->ok());
  EXPECT_EQ((data_server->targets[{"a", Role::consumer}].front().host), "other");
  EXPECT_EQ((data_server->targets[{"a", Role::producer}].front().host), "127.0.0.1");
}

// Protocol: same-request
TEST_F(ManagerTest, TheSameRequestAgainIsTheSameSession) {
  const auto first = req(want("a"));
  const auto second = req(want("a"));
  EXPECT_EQ(capacity().sessions, 1U);
  ASSERT_TRUE(hello(greet("a"))->ok());
  EXPECT_TRUE(first->ok());
  EXPECT_TRUE(second->ok());
  const auto third = req(want("a"));
  EXPECT_TRUE(third->ok());
  EXPECT_EQ(data_server->held.size(), 1U);
}

// Protocol: other-values
TEST_F(ManagerTest, TheSameIdWithOtherValuesAlreadyExists) {
  const auto first = req(want("a"));
  const auto other = req(want("a", Role::producer, 3));
  EXPECT_TRUE(other->pending());  // the first may have been cut, and we not yet told
  time.advance(milliseconds(200));
  EXPECT_EQ(other->cause(), "already_exists");
  EXPECT_TRUE(first->pending());
  ASSERT_TRUE(hello(greet("a"))->ok());
  EXPECT_EQ(req(want("a", Role::producer, 3))->cause(), "already_exists");
}

// Protocol: cancelled-req-frees-id
TEST_F(ManagerTest, ACancellationThatComesAfterTheNextRequestStillMakesWay) {
  const auto first = req(want("a"));
  const Ticket first_ticket = ticket;
  const auto other = req(want("a", Role::producer, 3));
  manager->withdraw(first_ticket);
  time.run();
  EXPECT_EQ(first->cause(), "cancelled");
  EXPECT_TRUE(other->pending());
  ASSERT_TRUE(hello(greet("a"))->ok());
  EXPECT_EQ((*other->result)->listeners.size(), 3U);
}

// Protocol: cancelled-req-frees-id
TEST_F(ManagerTest, ACutRequestDoesNotBlockItsId) {
  const auto first = req(want("a"));
  manager->withdraw(ticket);
  time.run();
  EXPECT_EQ(first->cause(), "cancelled");
  const auto other = req(want("a", Role::producer, 3));
  EXPECT_TRUE(other->pending());
  ASSERT_TRUE(hello(greet("a"))->ok());
  EXPECT_EQ((*other->result)->listeners.size(), 3U);
}

// Protocol: cut-request
TEST_F(ManagerTest, ACutRequestEndsItsSessionUnlessRepeated) {
  req(want("a"));
  manager->withdraw(ticket);
  time.advance(seconds(9));
  const auto again = req(want("a"));
  EXPECT_TRUE(again->pending());
  time.advance(seconds(9));
  EXPECT_TRUE(again->pending());
  manager->withdraw(ticket);
  time.advance(seconds(10));
  expect_nothing_reserved();
}

// Protocol: no-hello
TEST_F(ManagerTest, NoHelloInTimeEndsTheSession) {
  const auto requested = req(want("a"));
  time.advance(milliseconds(179'999));
  EXPECT_TRUE(requested->pending());
  time.advance(milliseconds(1));
  EXPECT_EQ(requested->cause(), "timeout");
  expect_nothing_reserved();
}

// Protocol: no-update
TEST_F(ManagerTest, NoUpdateInTimeEndsTheSession) {
  req(want("a"));
  ASSERT_TRUE(hello(greet("a"))->ok());
  time.advance(seconds(180));
  expect_nothing_reserved();
}

// Protocol: release-both-roles, release-frees-ports, release-repeatable
TEST_F(ManagerTest, ReleaseReturnsEverythingAndMayBeRepeated) {
  set_up("a", Role::producer);
  set_up("a", Role::consumer);
  EXPECT_TRUE(release("a")->ok());
  expect_nothing_reserved();
  EXPECT_TRUE(release("a")->ok());
  EXPECT_EQ(release("never-heard-of")->cause(), "not_found");
}

// Protocol: claim
TEST_F(ManagerTest, AReleaseWithAClaimEndsOnlyWhatItsRequestMade) {
  Request request = want("a");
  request.claim = "mine";
  const auto requested = req(request);
  EXPECT_EQ(release("a", "other")->cause(), "not_found");
  EXPECT_TRUE(requested->pending());
  EXPECT_TRUE(release("a", "mine")->ok());
  EXPECT_EQ(requested->cause(), "cancelled");
}

// Protocol: id-again
TEST_F(ManagerTest, AnIdMayBeUsedAgainAfterRelease) {
  set_up("a");
  release("a");
  set_up("a");
  EXPECT_EQ(list({"a"}).size(), 1U);
}

// Protocol: req-during-release
TEST_F(ManagerTest, ARequestDuringTheReleaseFollowsIt) {
  set_up("a");
  data_server->answer_at_once = false;
  const auto released = release("a");
  const auto again = req(want("a"));
  EXPECT_TRUE(released->pending());
  data_server->answer_at_once = true;
  data_server->answer_one();
  time.run();
  EXPECT_TRUE(released->ok());
  EXPECT_TRUE(again->pending());
  EXPECT_TRUE(hello(greet("a"))->ok());
  EXPECT_TRUE(again->ok());
}

// Protocol: release-ends-waiting
TEST_F(ManagerTest, AReleaseDuringTheReservationWaitsForItAndLeavesNothing) {
  data_server->answer_at_once = false;
  const auto requested = req(want("a"));
  const auto released = release("a");
  EXPECT_EQ(requested->cause(), "cancelled");
  EXPECT_EQ(data_server->waiting.size(), 1U);  // the release must not overtake the reservation
  while (data_server->answer_one()) time.run();
  time.run();
  while (data_server->answer_one()) time.run();
  EXPECT_TRUE(released->ok());
  expect_nothing_reserved();
}

// Protocol: ports-short, rate-unmarked
TEST_F(ManagerTest, ShortPortsAndBandwidthAreRefusedAtOnceAndSayHowMuchIsFree) {
  Request much = want("much");
  much.rate.mbps = 800;
  much.rate.is_explicit = true;
  req(much);
  const auto ports = req(want("a", Role::producer, 9));
  EXPECT_EQ(ports->cause(), "exhausted");
  EXPECT_NE(ports->result->error().message.find("8 of 10"), std::string::npos);
  Request fast = want("b");
  fast.rate.mbps = 201;
  fast.rate.is_explicit = true;
  const auto rate = req(fast);
  EXPECT_EQ(rate->cause(), "exhausted");
  EXPECT_NE(rate->result->error().message.find("200 of 1000"), std::string::npos);
  EXPECT_EQ(capacity().sessions, 1U);
  fast.rate.is_explicit = false;  // a deployed client's rate is never a lease
  EXPECT_TRUE(req(fast)->pending());
}

// Protocol: reserve-failure
TEST_F(ManagerTest, ADataServerThatRefusesLeavesNothingReserved) {
  data_server->fail_next = Error{Cause::exhausted, "2 listeners wanted, 1 free"};
  EXPECT_EQ(req(want("a"))->cause(), "exhausted");
  expect_nothing_reserved();
}

// Protocol: update-failed-ends
TEST_F(ManagerTest, AFailedUpdateEndsTheSession) {
  req(want("a"));
  hello(greet("a"));
  data_server->fail_next = Error{Cause::failure, "no"};
  EXPECT_EQ(update(aim("a"))->cause(), "failure");
  expect_nothing_reserved();
}

TEST_F(ManagerTest, TheReasonOfAFailedUpdateIsToldThoughItsEndIsKnownBefore) {
  req(want("a"));
  hello(greet("a"));
  data_server->answer_at_once = false;
  const auto updated = update(aim("a"));
  dataserver::Event gone;
  gone.kind = dataserver::Event::Kind::gone;
  gone.status.session = {"a", Role::producer};
  gone.status.reservation = data_server->reservations[gone.status.session];
  data_server->observe(gone);
  time.run();
  EXPECT_TRUE(updated->pending());
  data_server->answer_at_once = true;
  data_server->answer_one(0, Error{Cause::invalid_argument, "no such target"});
  time.run();
  EXPECT_EQ(updated->cause(), "invalid_argument");
  expect_nothing_reserved();
}

// Protocol: update-before-hello
TEST_F(ManagerTest, UpdateBeforeHelloIsRefusedWithACause) {
  const auto requested = req(want("a"));
  EXPECT_EQ(update(aim("a"))->cause(), "failed_precondition");
  EXPECT_TRUE(requested->pending());
}

// Protocol: updates-in-order
TEST_F(ManagerTest, TwoUpdatesAtOnceAreDoneOneAfterTheOther) {
  set_up("a");
  data_server->answer_at_once = false;
  const auto first = update(aim("a", {{"one", 1}}));
  const auto second = update(aim("a", {{"two", 2}}));
  EXPECT_EQ(data_server->waiting.size(), 1U);
  data_server->answer_one();
  time.run();
  EXPECT_TRUE(first->ok());
  data_server->answer_one();
  time.run();
  EXPECT_TRUE(second->ok());
  EXPECT_EQ((data_server->targets[{"a", Role::producer}].front().host), "two");
}

// Protocol: hello-nonce-once, hello-unproven
TEST_F(ManagerTest, ApplicationKeyMustBeProvenAndANonceIsGoodOnce) {
  Request request = want("a");
  request.app_key = Secret::random(key_size);
  const auto requested = req(request);
  EXPECT_EQ(hello(greet("a"))->cause(), "unauthenticated");
  Hello proven = greet("a");
  proven.nonce = "0123456789abcdef";
  proven.proof = hello_proof(request.app_key, "a", "PROD", proven.prod_listeners, proven.nonce);
  Hello moved = proven;
  moved.prod_listeners = {"10.6.6.6:6"};
  EXPECT_EQ(hello(moved)->cause(), "unauthenticated");
  Hello of_other_role = proven;
  of_other_role.proof =
      hello_proof(request.app_key, "a", "CONS", proven.prod_listeners, proven.nonce);
  EXPECT_EQ(hello(of_other_role)->cause(), "unauthenticated");
  EXPECT_TRUE(requested->pending());
  EXPECT_TRUE(hello(proven)->ok());
  EXPECT_TRUE(requested->ok());
  EXPECT_EQ(hello(proven)->cause(), "unauthenticated");  // replayed
}

TEST_F(ManagerTest, AnEarlyProvenHelloIsAcceptedOnceTheListenersAreThere) {
  data_server->answer_at_once = false;
  Request request = want("a");
  request.app_key = Secret::random(key_size);
  req(request);
  Hello proven = greet("a");
  proven.nonce = "0123456789abcdef";
  proven.proof = hello_proof(request.app_key, "a", "PROD", proven.prod_listeners, proven.nonce);
  const auto greeted = hello(proven);
  data_server->answer_one();
  time.run();
  EXPECT_TRUE(greeted->ok());
}

// Protocol: hello-wait-ready
TEST_F(ManagerTest, HelloThatWaitsForReadyAnswersAfterTheUpdate) {
  req(want("a"));
  Hello waiting = greet("a");
  waiting.wait_ready = true;
  const auto greeted = hello(waiting);
  EXPECT_TRUE(greeted->pending());
  update(aim("a"));
  EXPECT_TRUE(greeted->ok());
}

// Protocol: lifetime-for
TEST_F(ManagerTest, LifetimeEndsASessionThatIsSetUp) {
  Request request = want("a");
  request.lifetime = seconds(60);
  req(request);
  hello(greet("a"));
  time.advance(seconds(100));  // counts from set-up
  update(aim("a"));
  time.advance(seconds(59));
  EXPECT_EQ(list({"a"}).size(), 1U);
  time.advance(seconds(1));
  expect_nothing_reserved();
}

// Protocol: idle-end, quiet-connection-lives
TEST_F(ManagerTest, ADayWithoutAConnectionEndsASession) {
  set_up("a");
  data_server->counters.connections_active = 1;
  time.advance(std::chrono::hours(48));
  EXPECT_EQ(list({"a"}).size(), 1U);
  data_server->counters.connections_active = 0;
  data_server->counters.idle = std::chrono::hours(23);
  time.advance(std::chrono::hours(24));
  EXPECT_EQ(list({"a"}).size(), 1U);
  data_server->counters.idle = std::chrono::hours(24);
  time.advance(std::chrono::hours(1));
  expect_nothing_reserved();
}

// Protocol: stop-drains, stop-cuts
TEST_F(ManagerTest, ShutDownDrainsLiveSessionsAndThenCuts) {
  set_up("a");
  data_server->answer_at_once = false;
  const auto down = ask<void>([&](auto done) { manager->shut_down(seconds(30), done); });
  EXPECT_EQ(req(want("late"))->cause(), "unavailable");
  EXPECT_TRUE(down->pending());
  time.advance(seconds(30));  // the drain never answers: now it cuts
  EXPECT_EQ(data_server->waiting.size(), 2U);
  data_server->answer_one(1);
  time.run();
  EXPECT_TRUE(down->ok());
  EXPECT_EQ(data_server->log.back(), "cut a/PROD");
}

// Protocol: watch
TEST_F(ManagerTest, WatchTellsEveryStateInOrder) {
  std::vector<std::string> seen;
  const auto watch = manager->watch({"a"}, seconds(1), by, [&](const SessionEvent& event) {
    seen.push_back(event.kind == SessionEvent::Kind::gone
                       ? "gone"
                       : std::string(to_string(event.session.state)));
  });
  time.run();
  set_up("a");
  set_up("b");
  release("a");
  EXPECT_EQ(seen, (std::vector<std::string>{"reserving", "listening", "idle", "updating", "idle",
                                            "releasing", "idle", "gone"}));
}

TEST_F(ManagerTest, NewsOfAnEarlierSessionDoesNotTouchItsSuccessorOfTheSameId) {
  set_up("a");
  dataserver::Event late;
  late.status.session = {"a", Role::producer};
  late.status.reservation = data_server->reservations[late.status.session];
  late.status.counters.bytes_to_consumer = 77;
  ASSERT_TRUE(release("a")->ok());
  set_up("a");

  for (const auto kind : {dataserver::Event::Kind::counters, dataserver::Event::Kind::gone}) {
    late.kind = kind;
    data_server->observe(late);
    time.run();
    ASSERT_EQ(list({"a"}).size(), 1U);
    EXPECT_EQ(list({"a"}).front().counters.bytes_to_consumer, 0U);
  }
  late.status.reservation = data_server->reservations[late.status.session];
  data_server->observe(late);
  time.run();
  EXPECT_TRUE(list({"a"}).empty());
}

// Protocol: data-server-replaced
TEST_F(ManagerTest, ALostDataServerComesBackWithItsPortsAndTargets) {
  auto second = std::make_shared<ScriptedDataServer>();
  manager = std::make_unique<Manager>(
      time, data_server, store, options(), null_logger(),
      [&](auto done) { done(std::shared_ptr<dataserver::DataServer>(second)); });
  set_up("a");
  const auto waiting = req(want("b"));
  const auto held = data_server->held;
  dataserver::Event lost;
  lost.kind = dataserver::Event::Kind::lost;
  data_server->observe(lost);
  time.run();
  EXPECT_EQ(second->held, held);
  EXPECT_EQ((second->targets[{"a", Role::producer}].front().port), 7000);
  EXPECT_TRUE(hello(greet("b"))->ok());
  EXPECT_TRUE(waiting->ok());
  EXPECT_TRUE(release("a")->ok());
}

/// A Manager whose data server comes back empty, when the test says so.
class RevivalTest : public ManagerTest {
 protected:
  RevivalTest() {
    manager = std::make_unique<Manager>(time, data_server, store, options(), null_logger(),
                                        [this](auto done) { revive = done; });
  }
  void come_back() {
    data_server->answer_at_once = true;
    std::exchange(revive, nullptr)(std::shared_ptr<dataserver::DataServer>(data_server));
    time.run();
  }
  Callback<std::shared_ptr<dataserver::DataServer>> revive;
};

// Protocol: update-waits-for-data-server
TEST_F(RevivalTest, AnUpdateThatComesMeanwhileWaits) {
  const auto requested = req(want("a"));
  ASSERT_TRUE(hello(greet("a"))->ok());
  const auto held = data_server->held;
  data_server->die();
  time.run();
  const auto updated = update(aim("a"));
  EXPECT_TRUE(updated->pending());
  come_back();
  EXPECT_TRUE(updated->ok());
  EXPECT_EQ(data_server->held, held);
  EXPECT_EQ((data_server->targets[{"a", Role::producer}].front().port), 7000);
}

// Protocol: update-waits-for-data-server
TEST_F(RevivalTest, AnUpdateThatWasUnderWayIsMadeAgain) {
  const auto requested = req(want("a"));
  ASSERT_TRUE(hello(greet("a"))->ok());
  const auto held = data_server->held;
  data_server->answer_at_once = false;
  const auto updated = update(aim("a"));
  data_server->die();
  time.run();
  EXPECT_TRUE(updated->pending());
  come_back();
  EXPECT_TRUE(updated->ok());
  EXPECT_EQ(list({"a"}).front().phase, Phase::ready);
  EXPECT_EQ(data_server->held, held);
}

TEST_F(RevivalTest, AReservationThatWasUnderWayIsMadeAgain) {
  data_server->answer_at_once = false;
  const auto requested = req(want("a"));
  data_server->die();
  time.run();
  come_back();
  EXPECT_TRUE(requested->pending()) << "it waits for its hello";
  EXPECT_TRUE(hello(greet("a"))->ok());
  EXPECT_TRUE(requested->ok());
  EXPECT_EQ(data_server->held.size(), 1U);
}

TEST_F(RevivalTest, AReleaseMeanwhileNeedsNoDataServer) {
  set_up("a");
  data_server->die();
  time.run();
  const auto released = release("a");
  come_back();
  time.advance(seconds(10));
  EXPECT_TRUE(released->ok());
  expect_nothing_reserved();
}

TEST_F(ManagerTest, AReleaseByTheUserCutsWhatDrains) {
  set_up("a");
  data_server->answer_at_once = false;
  manager->shut_down(seconds(30), [](const Status&) {});
  time.run();
  ASSERT_EQ(data_server->waiting.size(), 1U);
  const auto released = release("a");
  EXPECT_EQ(data_server->waiting.size(), 2U);
  while (data_server->answer_one()) time.run();
  EXPECT_TRUE(released->ok());
  EXPECT_EQ(data_server->log.back(), "cut a/PROD");
}

// Protocol: restore-limit
TEST_F(ManagerTest, SessionsEndInErrorWhenTheDataServerStaysAway) {
  manager =
      std::make_unique<Manager>(time, data_server, store, options(), null_logger(),
                                [&](auto done) { done(Error{Cause::unavailable, "refused"}); });
  set_up("a");
  dataserver::Event lost;
  lost.kind = dataserver::Event::Kind::lost;
  data_server->observe(lost);
  time.advance(milliseconds(4'900));
  EXPECT_EQ(list({"a"}).size(), 1U);
  time.advance(milliseconds(400));
  EXPECT_TRUE(list({"a"}).empty());
}

/// Random messages, failures, reordered data server answers, restarts, full disks and the passing
/// of time: every call is answered exactly once, and in the end nothing is reserved or kept
/// anywhere.
TEST_F(ManagerTest, AnythingAtAllEndsWithEveryCallAnsweredAndNothingReserved) {
  EXPECT_TRUE(rc::check([] {
    ManualScheduler clock;
    const auto server = std::make_shared<ScriptedDataServer>();
    server->answer_at_once = false;
    const auto kept = std::make_shared<MemoryStore>();
    auto under_test = restarted(clock, server, kept, nullptr);
    int asked = 0;
    int answered = 0;
    std::vector<Ticket> tickets;
    const auto count = [&answered](const auto&) { ++answered; };
    const int steps = *rc::gen::inRange(1, 120);
    for (int i = 0; i < steps; ++i) {
      const std::string uid(1, static_cast<char>('a' + *rc::gen::inRange(0, 3)));
      const Role role = *rc::gen::arbitrary<bool>() ? Role::producer : Role::consumer;
      switch (*rc::gen::inRange(0, 11)) {
        case 0:
          ++asked;
          tickets.push_back(under_test->request(want(uid, role, *rc::gen::inRange(1, 5)),
                                                Principal::anybody(), count));
          break;
        case 1:
          if (!tickets.empty())
            under_test->withdraw(tickets[*rc::gen::inRange<std::size_t>(0, tickets.size())]);
          break;
        case 2: {
          ++asked;
          Hello message = greet(uid);
          if (*rc::gen::arbitrary<bool>()) message.role = role;
          message.wait_ready = *rc::gen::arbitrary<bool>();
          under_test->hello(message, Principal::anybody(), count);
          break;
        }
        case 3: {
          ++asked;
          UpdateTargets message = aim(uid);
          message.role = role;
          under_test->update(message, Principal::anybody(), count);
          break;
        }
        case 4:
          ++asked;
          under_test->release(uid, "", dataserver::Ending::cut, Principal::anybody(), count);
          break;
        case 5: server->answer_one(*rc::gen::inRange<std::size_t>(0, 5)); break;
        case 6: server->answer_one(0, Error{Cause::failure, "injected"}); break;
        case 7: under_test = restarted(clock, server, kept, std::move(under_test)); break;
        case 8: server->die(); break;
        case 9:
          kept->fail = *rc::gen::arbitrary<bool>()
                           ? std::optional(Error{Cause::exhausted, "the disk is full"})
                           : std::nullopt;
          break;
        default: clock.advance(milliseconds(*rc::gen::inRange(1, 3'000))); break;
      }
      clock.run();
    }
    kept->fail.reset();
    for (const char* uid : {"a", "b", "c"}) {
      ++asked;
      under_test->release(uid, "", dataserver::Ending::cut, Principal::anybody(), count);
    }
    for (int round = 0; round < 50; ++round) {
      clock.run();
      while (server->answer_one()) clock.run();
      clock.advance(seconds(10));
    }
    RC_ASSERT(answered == asked);
    RC_ASSERT(server->held.empty());
    RC_ASSERT(kept->records.empty());
    Capacity left;
    under_test->capacity([&](Result<Capacity> now) { left = *now; });
    clock.run();
    RC_ASSERT(left.sessions == 0U);
    RC_ASSERT(left.ports_free == left.ports_total);
    RC_ASSERT(clock.armed() == 0U);
  }));
}

}  // namespace
}  // namespace scistream::session

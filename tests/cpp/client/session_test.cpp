#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <set>

#include "client/app_controller.hpp"
#include "support/facilities.hpp"

namespace scistream {
namespace {

using client::SessionRequest;

SessionRequest for_application(int num_conn = 2) {
  SessionRequest request;
  request.num_conn = num_conn;
  request.prod_app = {{"127.0.0.1", 9}};
  return request;
}

// Protocol: request-states
TEST_F(FacilitiesTest, OneRequestSetsUpBothSidesAndPassesEveryStateInOrder) {
  const auto result = request(for_application());
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->listeners.size(), 2U);
  EXPECT_TRUE(result->listeners.front().starts_with("127.0.2.1:36"));
  EXPECT_TRUE(result->prod_listeners.front().starts_with("127.0.1.1:35"));
  std::vector<std::string> states;
  for (const auto& change : result->states) states.emplace_back(to_string(change.state));
  EXPECT_EQ(states, (std::vector<std::string>{"reserving", "provisioning", "updating", "idle"}));
  EXPECT_TRUE(client->release(result->uid, both()).ok());
  expect_nothing_reserved();
}

// Protocol: listener-feeds-target
TEST_F(FacilitiesTest, ListenersFeedTargetsInTurnWhenNumbersDiffer) {
  SessionRequest wanted = for_application(3);
  wanted.prod_app = {{"127.0.0.1", 7001}, {"127.0.0.1", 7002}};
  const auto result = request(wanted);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->targets,
            (std::vector<std::string>{"127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7001"}));
}

// Protocol: failure-releases-both
TEST_F(FacilitiesTest, AFailureAtOneFacilityReleasesTheOther) {
  const auto result = request(for_application(101));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().cause, Cause::exhausted);
  EXPECT_NE(result.error().message.find("100 of 100"), std::string::npos) << result.error().message;
  expect_nothing_reserved();
}

// Protocol: failure-releases-both
TEST_F(FacilitiesTest, AFacilityThatIsNotThereIsNamedAndTheOtherReleased) {
  const auto result = client->request(prod->endpoint(), {"127.0.2.1", 9}, for_application());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().cause, Cause::unavailable);
  EXPECT_NE(result.error().message.find("127.0.2.1:9"), std::string::npos)
      << result.error().message;
  expect_nothing_reserved();
}

// Protocol: client-gives-up
TEST_F(FacilitiesTest, AnInterruptBeforeItIsReadyReleasesBothEnds) {
  SessionRequest wanted = for_application();
  wanted.prod_app.clear();  // waits for hellos that never come
  client::Interrupt interrupt;
  std::promise<void> reserving;
  auto result = std::async(std::launch::async, [&] {
    return client->request(
        prod->endpoint(), cons->endpoint(), wanted,
        [&](const client::StateChange& change) {
          if (change.state == session::ClientState::reserving) reserving.set_value();
        },
        &interrupt);
  });
  reserving.get_future().wait();
  interrupt.trigger();
  EXPECT_EQ(result.get().error().cause, Cause::cancelled);
  expect_nothing_reserved();
}

// Protocol: holder-unharmed
TEST_F(FacilitiesTest, AForeignSessionOfTheSameIdIsLeftAlone) {
  SessionRequest wanted = for_application();
  wanted.uid = "shared-name";
  ASSERT_TRUE(request(wanted).ok());
  wanted.num_conn = 3;
  const auto second = request(wanted);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().cause, Cause::already_exists);
  const auto first = client->status("shared-name", both());
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->size(), 2U);
  EXPECT_EQ(first->front().num_conn, 2);
}

TEST_F(FacilitiesTest, AFailedRepeatLeavesTheEntryOfALiveSessionInTheBook) {
  SessionRequest wanted = for_application();
  wanted.uid = "live";
  ASSERT_TRUE(request(wanted).ok());
  ASSERT_FALSE(client->request(prod->endpoint(), {"127.0.2.1", 9}, wanted).ok());
  const auto places = client->servers_of("live");
  ASSERT_TRUE(places.ok()) << places.error().message;
  EXPECT_EQ(*places, both());
  EXPECT_EQ(client->status("live", both())->size(), 2U);
}

// Protocol: app-key-one-side
TEST_F(FacilitiesTest, ApplicationControllersCompleteASessionWithTheirKeys) {
  SessionRequest wanted;
  wanted.uid = random_uid();
  wanted.prod_app_key = Secret::random(key_size);
  wanted.cons_app_key = Secret::random(key_size);
  auto result = std::async(std::launch::async, [&] { return request(wanted); });

  client::AppController producer(client_options(), prod->endpoint());
  client::AppController consumer(client_options(), cons->endpoint());
  client::AppHello hello;
  hello.uid = wanted.uid;
  hello.listeners = {{"127.0.0.1", 7001}};
  hello.patience = std::chrono::seconds(10);
  EXPECT_EQ(producer.hello(hello).error().cause, Cause::unauthenticated);
  hello.key = wanted.cons_app_key;  // the other facility's
  EXPECT_EQ(producer.hello(hello).error().cause, Cause::unauthenticated);
  hello.key = wanted.prod_app_key;
  EXPECT_TRUE(producer.hello(hello).ok());

  hello.role = Role::consumer;
  hello.key = wanted.cons_app_key;
  hello.listeners.clear();
  hello.wait_ready = true;
  const auto ready = consumer.hello(hello);
  ASSERT_TRUE(ready.ok()) << ready.error().message;
  const auto session = result.get();
  ASSERT_TRUE(session.ok()) << session.error().message;
  EXPECT_EQ(ready->listeners, session->listeners);
}

TEST_F(FacilitiesTest, AnUnknownSessionIsNotFoundEverywhere) {
  EXPECT_EQ(client->release("unknown", both()).error().cause, Cause::not_found);
  EXPECT_EQ(client->status("unknown", both()).error().cause, Cause::not_found);
  client::AppController controller(client_options(), prod->endpoint());
  client::AppHello hello;
  hello.uid = "unknown";
  hello.listeners = {{"127.0.0.1", 7001}};
  EXPECT_EQ(controller.hello(hello).error().cause, Cause::not_found);
}

TEST_F(FacilitiesTest, AWatchSeesTheReleaseAndEnds) {
  const auto session = request(for_application());
  ASSERT_TRUE(session.ok());
  std::mutex mutex;
  std::multiset<std::string> gone;
  std::promise<void> first;
  bool seen = false;
  auto watched = std::async(std::launch::async, [&] {
    return client->watch(session->uid, both(), std::chrono::milliseconds(100),
                         [&](const session::SessionEvent& event) {
                           const std::lock_guard lock(mutex);
                           if (!std::exchange(seen, true)) first.set_value();
                           if (event.kind == session::SessionEvent::Kind::gone)
                             gone.insert(std::string(to_string(event.session.key.role)));
                         });
  });
  first.get_future().wait();
  EXPECT_TRUE(client->release(session->uid, both()).ok());
  EXPECT_TRUE(watched.get().ok());
  EXPECT_LE(gone.size(), 2U);
}

// Protocol: sessions-apart
TEST_F(FacilitiesTest, ManySessionsAtOnceDoNotNoticeEachOther) {
  std::vector<std::future<Result<client::SessionResult>>> waiting;
  for (int i = 0; i < 40; ++i) {
    waiting.push_back(
        std::async(std::launch::async, [this] { return request(for_application(2)); }));
  }
  std::set<std::string> listeners;
  std::vector<std::string> uids;
  for (auto& one : waiting) {
    const auto session = one.get();
    ASSERT_TRUE(session.ok()) << session.error().message;
    uids.push_back(session->uid);
    for (const auto& listener : session->listeners)
      EXPECT_TRUE(listeners.insert(listener).second) << listener;
  }
  EXPECT_EQ(listeners.size(), 80U);
  for (const auto& uid : uids) EXPECT_TRUE(client->release(uid, both()).ok());
  expect_nothing_reserved();
}

// Protocol: untrusted-at-once
TEST_F(FacilitiesTest, AClientThatTrustsNobodyIsToldSo) {
  client::ClientOptions options = client_options();
  options.roots = cons->certificate();
  client::UserClient stranger(options);
  const auto info = stranger.info(prod->endpoint());
  ASSERT_FALSE(info.ok());
  EXPECT_EQ(info.error().cause, Cause::unauthenticated);
  EXPECT_NE(info.error().message.find("--server_cert"), std::string::npos) << info.error().message;
}

// Protocol: wrong-channel
TEST_F(FacilitiesTest, TheWrongKindOfChannelIsNamed) {
  client::ClientOptions options = client_options();
  options.tls = false;
  client::UserClient plain(options);
  const auto info = plain.info(prod->endpoint());
  ASSERT_FALSE(info.ok());
  EXPECT_NE(info.error().message.find("--ssl=False"), std::string::npos) << info.error().message;

  auto server = options_for("127.0.3.1", {37100, 37110});
  server.tls = false;
  control::ControlServer plaintext(server, null_logger());
  ASSERT_TRUE(plaintext.start().ok());
  EXPECT_TRUE(plain.info(plaintext.endpoint()).ok());
  const auto mixed = client->info(plaintext.endpoint());
  ASSERT_FALSE(mixed.ok());
  EXPECT_NE(mixed.error().message.find("--ssl=False"), std::string::npos) << mixed.error().message;
}

TEST_F(FacilitiesTest, ReleasedServersEndCallsThatWait) {
  SessionRequest wanted = for_application();
  wanted.prod_app.clear();
  wanted.uid = random_uid();
  auto result = std::async(std::launch::async, [&] { return request(wanted); });
  while (!client->status(wanted.uid, {prod->endpoint()})) std::this_thread::yield();
  prod->stop(std::chrono::milliseconds(0));
  const auto ended = result.get();
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().cause, Cause::unavailable) << ended.error().message;
}

}  // namespace
}  // namespace scistream

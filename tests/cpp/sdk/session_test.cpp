#include <algorithm>
#include <chrono>
#include <future>
#include <set>
#include <stop_token>
#include <thread>
#include <utility>

#include "sdk/two_facilities.hpp"

namespace scistream::test {
namespace {

class SdkSession : public TwoFacilities {};

TEST_F(SdkSession, KnowsWhatItsSetUpFoundOut) {
  SessionRequest request = wanted();
  request.num_conn = 2;
  const auto session = must(client->request(request));
  EXPECT_FALSE(session.uid().empty());
  ASSERT_EQ(session.listeners().size(), 2U);
  EXPECT_EQ(session.listeners().front().host, "127.0.2.1");
  EXPECT_EQ(session.prod_listeners().front().host, "127.0.1.1");
  EXPECT_EQ(session.targets().front(), (Endpoint{"127.0.0.1", 9}));
  EXPECT_EQ(session.transport(), "tls");
  EXPECT_GT(session.setup_time().count(), 0);
  EXPECT_EQ(session.states().front().state, "reserving");
  EXPECT_EQ(session.states().back().state, "idle");
  EXPECT_EQ(session.app_key(Role::producer).size(), key_size);
  EXPECT_NE(session.app_key(Role::producer), session.app_key(Role::consumer));
}

TEST_F(SdkSession, IsReleasedWhenItDies) {
  {
    const auto session = must(client->request(wanted()));
  }
  expect_sessions(0);
}

TEST_F(SdkSession, IsReleasedByTheOneItWasMovedTo) {
  auto first = must(client->request(wanted()));
  {
    const Session second = std::move(first);
    expect_sessions(1);
  }
  expect_sessions(0);
}

TEST_F(SdkSession, AnotherOneInItsPlaceReleasesIt) {
  auto session = must(client->request(wanted()));
  session = must(client->request(wanted()));
  expect_sessions(1);
}

TEST_F(SdkSession, LivesOnIfItIsToBeKept) {
  std::string uid;
  {
    auto session = must(client->request(wanted()));
    session.keep();
    uid = session.uid();
  }
  expect_sessions(1);
  EXPECT_TRUE(client->release(uid).ok());
  expect_sessions(0);
}

TEST_F(SdkSession, MayOutliveTheClientThatAskedForIt) {
  auto session = must(client->request(wanted()));
  client.reset();
  EXPECT_EQ(must(session.status()).size(), 2U);
  EXPECT_TRUE(session.release().ok());
}

TEST_F(SdkSession, ADrainEndsWithItsLastConnection) {
  const Target app;
  SessionRequest request = wanted();
  request.prod_app = {app.endpoint()};
  auto session = must(client->request(request));
  net::Fd consumer = connect_to(session.listeners().front());
  net::Fd producer = app.accept();
  ASSERT_TRUE(producer);
  std::stop_source impatient;
  auto stopped = std::async(std::launch::async,
                            [&, stop = impatient.get_token()] { return session.drain(stop); });
  const auto drains = [&] {
    const auto sides = must(session.status());
    return std::all_of(sides.begin(), sides.end(),
                       [](const SessionStatus& side) { return side.state == "releasing"; });
  };
  EXPECT_TRUE(eventually(drains));
  impatient.request_stop();
  EXPECT_EQ(stopped.get().error().cause, Cause::cancelled);
  auto drained = std::async(std::launch::async, [&] { return client->drain(session.uid()); });
  send_all(producer.get(), "rest");
  EXPECT_EQ(receive(consumer.get(), 4).bytes, "rest") << "it lives";
  EXPECT_EQ(drained.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  consumer.reset();
  producer.reset();
  EXPECT_TRUE(drained.get().ok());
  EXPECT_TRUE(session.drain().ok());
  expect_sessions(0);
}

TEST_F(SdkSession, AReleaseEndsADrain) {
  const Target app;
  SessionRequest request = wanted();
  request.prod_app = {app.endpoint()};
  auto session = must(client->request(request));
  const net::Fd consumer = connect_to(session.listeners().front());
  ASSERT_TRUE(app.accept());
  auto drained = std::async(std::launch::async, [&] { return session.drain(); });
  EXPECT_TRUE(eventually([&] { return must(session.status()).front().state == "releasing"; }));
  EXPECT_TRUE(session.release().ok());
  EXPECT_TRUE(drained.get().ok());
  expect_sessions(0);
}

TEST_F(SdkSession, MayBeReleasedTwiceAndByOthers) {
  auto session = must(client->request(wanted()));
  EXPECT_TRUE(client->release(session.uid()).ok());
  EXPECT_TRUE(session.release().ok());
  EXPECT_TRUE(session.release().ok());
  EXPECT_EQ(why(session.status()).cause, Cause::not_found);
}

TEST_F(SdkSession, AReleaseSaysWhoCannotBeReached) {
  auto session = must(client->request(wanted()));
  const Endpoint gone = cons->endpoint();
  cons->stop(std::chrono::milliseconds(0));
  const Error error = why(session.release());
  EXPECT_EQ(error.cause, Cause::unavailable);
  EXPECT_NE(error.message.find(to_string(gone)), std::string::npos) << error.message;
}

TEST_F(SdkSession, CountsWhatGoesThroughIt) {
  const Target producer;
  SessionRequest request = wanted();
  request.prod_app = {producer.endpoint()};
  const auto session = must(client->request(request));
  const auto consumer = connect_to(session.listeners().front());
  const auto accepted = producer.accept();
  send_all(accepted.get(), "to the consumer");
  EXPECT_EQ(receive(consumer.get(), 15).bytes, "to the consumer");
  EXPECT_TRUE(eventually([&] { return must(session.stats()).bytes_to_consumer == 15; }));
  const auto stats = must(session.stats());
  EXPECT_EQ(stats.connections_active, 1U);
  EXPECT_EQ(stats.errors, 0U);
  const auto sides = must(session.status());
  ASSERT_EQ(sides.size(), 2U);
  EXPECT_NE(sides[0].role, sides[1].role);
  EXPECT_EQ(sides[0].protection, "encrypted");
  EXPECT_EQ(sides[0].targets.size(), 1U);
}

TEST_F(SdkSession, TakesAnotherRate) {
  auto session = must(client->request(wanted()));
  EXPECT_FALSE(must(session.set_rate(100))) << "no capacity, nothing to lease";
  EXPECT_EQ(must(session.status()).front().rate_mbps, 100);
  EXPECT_EQ(why(session.set_rate(-1)).cause, Cause::invalid_argument);
}

TEST_F(SdkSession, IsHandedOutOnceBothApplicationsHaveSaidHello) {
  auto pending = must(client->begin(waiting()));
  EXPECT_EQ(why(pending.wait(std::chrono::milliseconds(1))).cause, Cause::timeout);
  for (const auto timeout : {std::chrono::milliseconds(-1), std::chrono::milliseconds::max()})
    EXPECT_EQ(why(pending.wait(timeout)).cause, Cause::invalid_argument);
  const HelloOptions patient{false, std::chrono::seconds(30)};
  auto producer = must(AppController::create(application(pending, Role::producer)));
  auto consumer = must(AppController::create(application(pending, Role::consumer)));
  ASSERT_TRUE(producer.hello(patient).ok());
  const auto listeners = must(consumer.hello(patient));
  const auto session = must(pending.wait(std::chrono::seconds(30)));
  EXPECT_EQ(session.listeners(), listeners);
  EXPECT_EQ(session.targets(), (std::vector<Endpoint>{{"127.0.0.1", 7000}}));
  EXPECT_EQ(pending.states().size(), session.states().size());
  EXPECT_EQ(why(pending.wait()).cause, Cause::failed_precondition);
}

TEST_F(SdkSession, SetUpButNotHandedOutIsReleased) {
  {
    const auto pending = must(client->begin(wanted()));
    ASSERT_TRUE(eventually([&] {
      const auto states = pending.states();
      return !states.empty() && states.back().state == "idle";
    }));
  }
  expect_sessions(0);
}

TEST_F(SdkSession, WhatIsGivenUpWhileItIsSetUpLeavesNothing) {
  {
    const auto pending = must(client->begin(waiting()));
    ASSERT_TRUE(eventually([&] { return !pending.states().empty(); }));
  }
  expect_sessions(0);
}

TEST_F(SdkSession, AStopEndsTheWaitAndNotTheSetUp) {
  auto pending = must(client->begin(waiting()));
  std::stop_source stop;
  auto waiter =
      std::async(std::launch::async, [&] { return why(pending.wait({}, stop.get_token())).cause; });
  stop.request_stop();
  EXPECT_EQ(waiter.get(), Cause::cancelled);
  EXPECT_EQ(why(pending.wait(std::chrono::milliseconds(0))).cause, Cause::timeout);
}

TEST_F(SdkSession, AFailureOfTheSetUpIsToldToWhoWaits) {
  SessionRequest request = wanted();
  request.num_conn = 51;
  auto pending = must(client->begin(request));
  EXPECT_EQ(why(pending.wait()).cause, Cause::exhausted);
  EXPECT_EQ(why(pending.wait()).cause, Cause::exhausted) << "and may be asked for again";
}

}  // namespace
}  // namespace scistream::test

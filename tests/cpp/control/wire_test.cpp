#include "control/wire.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace scistream::control {
namespace {

using std::chrono::milliseconds;

session::Request a_request() {
  session::Request request;
  request.key = {"run-7", Role::consumer};
  request.num_conn = 3;
  request.rate.mbps = 10'000;
  request.rate.is_explicit = true;
  request.protocol = "tcp";
  request.producer = "gw1:5000";
  request.consumer = "gw2:5000";
  request.labels = {{"job", "42"}, {"experiment", "x=y"}};
  request.app_key = Secret::random(key_size);
  request.transport = "tcp";
  request.lifetime = milliseconds(1'500);
  request.claim = "c";
  return request;
}

// Protocol: added-request-fields
TEST(Wire, ARequestArrivesAsItWasSent) {
  const auto sent = a_request();
  const auto got = from_wire(to_wire(sent));
  ASSERT_TRUE(got.ok());
  EXPECT_TRUE(session::same_values(sent, *got));
  EXPECT_EQ(got->lifetime, sent.lifetime);
  EXPECT_EQ(got->claim, sent.claim);
  EXPECT_EQ(got->labels, sent.labels);
  EXPECT_EQ(got->app_key.view(), sent.app_key.view());
}

// Protocol: original-fields-suffice, lifetime-max-session
TEST(Wire, ARequestOfTheOriginalFourFieldsGetsTheDefaultsOfToday) {
  Request message;
  message.set_uid("a");
  message.set_role("PROD");
  message.set_num_conn(5);
  message.set_rate(10'000);
  const auto request = from_wire(message);
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->transport, "tcp");
  EXPECT_FALSE(request->rate.is_explicit);
  EXPECT_TRUE(request->app_key.empty());
  EXPECT_EQ(request->lifetime.count(), 0);
}

// Protocol: role-words
TEST(Wire, ARoleThatIsUnknownIsRefusedInARequestAndIgnoredInAHello) {
  for (const char* role : {"", "prod", "Producer", "CONS "}) {
    Request request;
    request.set_uid("a");
    request.set_role(role);
    const auto refused = from_wire(request);
    ASSERT_FALSE(refused.ok()) << role;
    EXPECT_EQ(refused.error().cause, Cause::invalid_argument);
    Hello hello;
    hello.set_role(role);
    EXPECT_FALSE(from_wire(hello).role.has_value()) << role;
  }
}

TEST(Wire, AHelloArrivesAsItWasSent) {
  session::Hello sent;
  sent.uid = "a";
  sent.role = Role::producer;
  sent.role_is_binding = true;
  sent.prod_listeners = {"10.0.0.9:7000", "[::1]:7001"};
  sent.nonce = "0123456789abcdef";
  sent.proof = std::string("\0\xff proof", 8);
  sent.wait_ready = true;
  const auto got = from_wire(to_wire(sent));
  EXPECT_EQ(got.uid, sent.uid);
  EXPECT_EQ(got.role, sent.role);
  EXPECT_TRUE(got.role_is_binding);
  EXPECT_EQ(got.prod_listeners, sent.prod_listeners);
  EXPECT_EQ(got.nonce, sent.nonce);
  EXPECT_EQ(got.proof, sent.proof);
  EXPECT_TRUE(got.wait_ready);
}

TEST(Wire, AnUpdateWithABadTargetNamesIt) {
  UpdateTargets message;
  message.set_uid("a");
  message.add_remote_listeners("10.0.0.9:7000");
  ASSERT_TRUE(from_wire(message).ok());
  EXPECT_EQ(from_wire(message)->transport, "tcp");
  message.add_remote_listeners("10.0.0.9:70000");
  const auto refused = from_wire(message);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("10.0.0.9:70000"), std::string::npos);
}

TEST(Wire, ASessionOfANewerServerIsShownAsFarAsItIsUnderstood) {
  Session message;
  message.set_uid("a");
  message.set_role("RELAY");
  message.set_state("dreaming");
  message.set_phase("beyond");
  message.set_age_ms(std::numeric_limits<std::uint64_t>::max());
  const auto view = from_wire(message);
  EXPECT_EQ(view.key.uid, "a");
  EXPECT_EQ(view.state, session::State::idle);
  EXPECT_GT(view.age.count(), 0) << "no overflow";
}

TEST(Wire, AReservationThatCannotBeIsRefused) {
  const auto refused = [](auto change) {
    ReserveListeners message = to_wire(
        dataserver::ReserveRequest{{"a", Role::producer}, 2, "127.0.0.1", {5100, 5200}, {}});
    EXPECT_TRUE(from_wire(message).ok());
    change(message);
    const auto request = from_wire(message);
    return !request.ok() && request.error().cause == Cause::invalid_argument;
  };
  EXPECT_TRUE(refused([](auto& m) { m.set_num_conn(0); }));
  EXPECT_TRUE(refused([](auto& m) { m.set_num_conn(dataserver::max_num_conn + 1); }));
  EXPECT_TRUE(refused([](auto& m) { m.set_first_port(0); }));
  EXPECT_TRUE(refused([](auto& m) { m.set_last_port(65'536); }));
  EXPECT_TRUE(refused([](auto& m) { m.set_first_port(5'201); }));
  EXPECT_TRUE(refused([](auto& m) { m.add_exact_ports(0); }));
  EXPECT_TRUE(refused([](auto& m) { m.add_exact_ports(65'536); }));
  EXPECT_TRUE(refused([](auto& m) { m.mutable_session()->set_role("ANY"); }));
  EXPECT_TRUE(refused([](auto& m) { m.mutable_session()->set_uid("../a"); }));
  EXPECT_TRUE(refused([](auto& m) { m.clear_session(); }));
}

TEST(Wire, WhatAReleaseAnswersIsNothingOrAllThatWentThrough) {
  ReleasedListeners message;
  to_wire(dataserver::Released(), &message);
  auto got = from_wire(message);
  ASSERT_TRUE(got.ok());
  EXPECT_FALSE(*got);
  dataserver::SessionStatus last;
  last.session = {"a", Role::consumer};
  last.reservation = 9;
  last.counters = {1, 2, 3, 4, 5, 7, milliseconds(6)};
  to_wire(dataserver::Released(last), &message);
  got = from_wire(message);
  ASSERT_TRUE(got.ok() && *got);
  EXPECT_EQ((*got)->reservation, 9U);
  EXPECT_EQ((*got)->counters.bytes_to_consumer, 1U);
  EXPECT_EQ((*got)->counters.refused, 7U);
  message.mutable_session()->set_state("surprise");
  EXPECT_FALSE(from_wire(message).ok());
}

TEST(Wire, WhatADataServerTellsArrivesWhole) {
  dataserver::Event sent;
  sent.kind = dataserver::Event::Kind::gone;
  sent.detail = "why";
  sent.status.session = {"a", Role::consumer};
  sent.status.reservation = 9;
  sent.status.state = dataserver::State::releasing;
  sent.status.ports = {5100, 5101};
  sent.status.targets = {{"10.0.0.9", 7000}};
  sent.status.transport = "tcp";
  sent.status.counters = {1, 2, 3, 4, 5, 7, milliseconds(6)};
  sent.status.connections = {{7, 5100, "127.0.0.1:1", "10.0.0.9:7000", 8, 9, milliseconds(10)}};
  DataEvent message;
  to_wire(sent, &message);
  const auto got = from_wire(message);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->kind, sent.kind);
  EXPECT_EQ(got->detail, sent.detail);
  EXPECT_EQ(got->status.session, sent.status.session);
  EXPECT_EQ(got->status.reservation, 9U);
  EXPECT_EQ(got->status.state, sent.status.state);
  EXPECT_EQ(got->status.ports, sent.status.ports);
  EXPECT_EQ(got->status.targets, sent.status.targets);
  EXPECT_EQ(got->status.counters.errors, 5U);
  EXPECT_EQ(got->status.counters.idle, milliseconds(6));
  ASSERT_EQ(got->status.connections.size(), 1U);
  EXPECT_EQ(got->status.connections.front().peer, "127.0.0.1:1");
  message.set_kind("surprise");
  EXPECT_FALSE(from_wire(message).ok());
}

}  // namespace
}  // namespace scistream::control

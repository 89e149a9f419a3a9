#include <chrono>
#include <future>
#include <set>
#include <stdexcept>
#include <stop_token>

#include "sdk/two_facilities.hpp"

namespace scistream::test {
namespace {

using std::chrono::milliseconds;

class SdkUserClient : public TwoFacilities {};

TEST_F(SdkUserClient, SaysWhatIsWrongWithARequestBeforeItIsSent) {
  const auto cause_of = [this](auto change) {
    SessionRequest request = wanted();
    change(request);
    return why(client->begin(request)).cause;
  };
  using R = SessionRequest;
  EXPECT_EQ(cause_of([](R& r) { r.prod = {}; }), Cause::invalid_argument);
  EXPECT_EQ(cause_of([](R& r) { r.cons.port = 0; }), Cause::invalid_argument);
  EXPECT_EQ(cause_of([](R& r) { r.prod_app = {{"two words", 9}}; }), Cause::invalid_argument);
  EXPECT_EQ(cause_of([](R& r) { r.uid = "a/b"; }), Cause::invalid_argument);
  EXPECT_EQ(cause_of([](R& r) { r.protocol = "ftp"; }), Cause::invalid_argument);
  EXPECT_EQ(cause_of([](R& r) { r.timeout = milliseconds(-1); }), Cause::invalid_argument);
  EXPECT_EQ(cause_of([](R& r) { r.lifetime = milliseconds::max(); }), Cause::invalid_argument);
  EXPECT_EQ(cause_of([](R& r) { r.prod_key = Secret("short"); }), Cause::invalid_argument);
  EXPECT_EQ(cause_of([](R& r) { r.cons_key = Secret(); }), Cause::invalid_argument);
}

TEST_F(SdkUserClient, ATransportThatIsNoneIsAnErrorOfTheRequest) {
  SessionRequest request = wanted();
  request.transport = "pigeon";
  EXPECT_EQ(why(client->request(request)).cause, Cause::invalid_argument);
}

TEST_F(SdkUserClient, OptionsThatContradictEachOtherAreRefused) {
  ClientOptions options = trust();
  options.server_cert = "somewhere.pem";
  EXPECT_EQ(why(UserClient::create(options)).cause, Cause::invalid_argument);
  options.roots.clear();
  EXPECT_EQ(why(UserClient::create(options)).cause, Cause::not_found);
}

TEST_F(SdkUserClient, AServerThatIsNotTrustedIsUnauthenticated) {
  ClientOptions options = trust();
  options.roots = cons->certificate();
  auto other = must(UserClient::create(options));
  EXPECT_EQ(why(other.info(prod->endpoint())).cause, Cause::unauthenticated);
}

TEST_F(SdkUserClient, AStopGivesARequestUpAndNothingStaysReserved) {
  std::stop_source stop;
  auto request = std::async(
      std::launch::async, [&] { return why(client->request(waiting(), stop.get_token())).cause; });
  while (must(client->info(prod->endpoint())).sessions == 0) {
  }
  stop.request_stop();
  EXPECT_EQ(request.get(), Cause::cancelled);
  expect_sessions(0);
}

TEST_F(SdkUserClient, AStopThatCameBeforeIsSeen) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(why(client->info(prod->endpoint(), stop.get_token())).cause, Cause::cancelled);
  EXPECT_EQ(why(client->request(wanted(), stop.get_token())).cause, Cause::cancelled);
  expect_sessions(0);
}

TEST_F(SdkUserClient, FindsSessionsAtTheirServersByItself) {
  const auto session = must(client->request(wanted()));
  EXPECT_EQ(must(client->status(session.uid())).size(), 2U);
  EXPECT_EQ(must(client->status(session.uid(), {prod->endpoint()})).size(), 1U);
  EXPECT_EQ(why(client->status("nobody")).cause, Cause::not_found);
  EXPECT_EQ(why(client->release("nobody")).cause, Cause::not_found);
}

TEST_F(SdkUserClient, AWatchTellsEveryStateAndEndsWithTheSession) {
  auto session = must(client->request(wanted()));
  std::multiset<SessionEvent::Kind> kinds;
  const auto observe = [&](const SessionEvent& event) {
    // On this thread, so anything may be done here.
    if (kinds.empty()) must(session.release());
    kinds.insert(event.kind);
  };
  const Status watched = client->watch(session.uid(), observe);
  EXPECT_TRUE(watched.ok()) << watched.error().message;
  EXPECT_GE(kinds.count(SessionEvent::Kind::state), 1U);
  EXPECT_GE(kinds.count(SessionEvent::Kind::gone), 1U);
}

TEST_F(SdkUserClient, AWatchEndsWhenItIsToStop) {
  const auto session = must(client->request(wanted()));
  std::stop_source stop;
  int events = 0;
  const auto observe = [&](const SessionEvent& event) {
    EXPECT_EQ(event.status.uid, session.uid());
    ++events;
    stop.request_stop();
  };
  EXPECT_TRUE(client->watch(session.uid(), observe, milliseconds(100), {}, stop.get_token()).ok());
  EXPECT_EQ(events, 1);
  EXPECT_EQ(must(session.status()).size(), 2U);
}

TEST_F(SdkUserClient, WhatAnObserverThrowsComesBack) {
  const auto session = must(client->request(wanted()));
  const auto observe = [](const SessionEvent&) { throw std::logic_error("mine"); };
  EXPECT_THROW((void)client->watch(session.uid(), observe), std::logic_error);
}

TEST_F(SdkUserClient, AWatchOfNothingIsAnError) {
  EXPECT_EQ(why(client->watch("nobody", [](const SessionEvent&) {})).cause, Cause::not_found);
}

TEST_F(SdkUserClient, ListsWhatWasRequested) {
  EXPECT_TRUE(must(client->sessions()).empty());
  const auto before = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const auto session = must(client->request(wanted()));
  const auto listed = must(client->sessions());
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0].uid, session.uid());
  EXPECT_GE(listed[0].created, before);
  EXPECT_EQ(listed[0].servers, (std::vector{prod->endpoint(), cons->endpoint()}));
  EXPECT_EQ(listed[0].status.size(), 2U);
  EXPECT_TRUE(listed[0].errors.empty());
}

TEST_F(SdkUserClient, ListsSessionsOfAServerThatIsAway) {
  const auto session = must(client->request(wanted()));
  const Endpoint away = prod->endpoint();
  prod.reset();
  // Bound, not listening: nobody else gets the port meanwhile.
  const auto held = net::bind_tcp(address_of(away));
  ASSERT_TRUE(held.ok());
  const auto listed = must(client->sessions());
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0].status.size(), 1U);
  ASSERT_EQ(listed[0].errors.size(), 1U);
  EXPECT_EQ(listed[0].errors[0].cause, Cause::unavailable);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(why(client->sessions(stop.get_token())).cause, Cause::cancelled);
}

TEST_F(SdkUserClient, KnowsWhatAServerIs) {
  const auto info = must(client->info(prod->endpoint()));
  EXPECT_EQ(info.version, version());
  EXPECT_EQ(info.ports_total, 50);
  EXPECT_EQ(info.data_server_kinds.size(), 1U);
}

}  // namespace
}  // namespace scistream::test

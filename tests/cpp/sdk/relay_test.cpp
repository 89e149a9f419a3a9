#include "scistream/relay.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <future>

#include "net/sockets.hpp"

namespace scistream::test {
namespace {

using std::chrono::milliseconds;

RelayOptions to(const Endpoint& target) {
  RelayOptions options;
  options.pairs = {{{"127.0.0.1", 0}, target}};
  options.threads = 1;
  return options;
}

TEST(SdkRelay, ForwardsAndCounts) {
  const Target target;
  auto relay = must(Relay::open(to(target.endpoint())));
  ASSERT_EQ(relay.listeners().size(), 1U);
  const auto client = connect_to(relay.listeners().front());
  const auto accepted = target.accept();
  send_all(client.get(), "there");
  EXPECT_EQ(receive(accepted.get(), 5).bytes, "there");
  send_all(accepted.get(), "and back");
  EXPECT_EQ(receive(client.get(), 8).bytes, "and back");
  EXPECT_TRUE(eventually([&] { return relay.stats().bytes_to_client == 8; }));
  EXPECT_EQ(relay.stats().bytes_to_target, 5U);
  EXPECT_EQ(relay.stats().connections_active, 1U);
}

TEST(SdkRelay, CloseResetsFreesThePortAndKeepsTheCounts) {
  const Target target;
  auto relay = must(Relay::open(to(target.endpoint())));
  const Endpoint listener = relay.listeners().front();
  const auto client = connect_to(listener);
  const auto accepted = target.accept();
  ASSERT_TRUE(accepted);
  relay.close();
  relay.close();
  EXPECT_EQ(receive(client.get()).error, ECONNRESET);
  EXPECT_EQ(connect_error(listener), ECONNREFUSED);
  EXPECT_EQ(relay.stats().connections_total, 1U);
  EXPECT_EQ(relay.listeners().front(), listener);
}

TEST(SdkRelay, CloseWaitsForConnectionsAsLongAsItIsTold) {
  const Target target;
  auto relay = must(Relay::open(to(target.endpoint())));
  auto client = connect_to(relay.listeners().front());
  auto accepted = target.accept();
  auto closing = std::async(std::launch::async, [&] { relay.close(std::chrono::hours(1)); });
  EXPECT_EQ(closing.wait_for(milliseconds(50)), std::future_status::timeout);
  client.reset();
  accepted.reset();
  closing.get();
  EXPECT_EQ(relay.stats().errors, 0U);
}

TEST(SdkRelay, IsClosedByTheOneThatTakesItsPlace) {
  const Target target;
  auto relay = must(Relay::open(to(target.endpoint())));
  const Endpoint before = relay.listeners().front();
  relay = must(Relay::open(to(target.endpoint())));
  EXPECT_EQ(connect_error(before), ECONNREFUSED);
}

TEST(SdkRelay, SaysWhyItCannotListen) {
  EXPECT_EQ(Relay::open({}).error().cause, Cause::invalid_argument);
  const Target taken;
  RelayOptions options = to(taken.endpoint());
  options.pairs.front().listener = taken.endpoint();
  EXPECT_EQ(Relay::open(options).error().cause, Cause::already_exists);
}

}  // namespace
}  // namespace scistream::test

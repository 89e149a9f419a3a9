#include "net/tcp.hpp"

#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <array>
#include <future>

#include "net/io_threads.hpp"
#include "net/sockets.hpp"

namespace scistream::net {
namespace {

using test::must;

template <class T = int>
T option(int socket, int level, int name) {
  T value{};
  socklen_t size = sizeof value;
  EXPECT_EQ(::getsockopt(socket, level, name, &value, &size), 0);
  return value;
}

TEST(BindTcp, RefusesConnectionsUntilItListens) {
  const Fd socket = must(bind_tcp(must(local_endpoint({"127.0.0.1", 0}))));
  const Endpoint bound = to_endpoint(must(bound_address(socket.get())));
  EXPECT_NE(bound.port, 0);
  EXPECT_EQ(test::connect_error(bound), ECONNREFUSED);
  must(listen_tcp(socket.get(), 8));
  EXPECT_EQ(test::connect_error(bound), 0);
}

// Protocol: port-not-shared
TEST(BindTcp, KeepsThePortFromEveryoneElse) {
  const Fd socket = must(bind_tcp(must(local_endpoint({"127.0.0.1", 0}))));
  const auto address = must(bound_address(socket.get()));
  for (const bool listening : {false, true}) {
    if (listening) must(listen_tcp(socket.get(), 8));
    const auto again = bind_tcp(address);
    ASSERT_FALSE(again.ok());
    EXPECT_EQ(again.error().cause, Cause::already_exists);
    const Fd reusing(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(reusing.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ::setsockopt(reusing.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    EXPECT_EQ(::bind(reusing.get(), address.data(), static_cast<socklen_t>(address.size())), -1);
  }
}

TEST(BindTcp, TakesAPortWhoseConnectionsAreInTimeWait) {
  auto socket = std::make_unique<test::Target>();
  const Endpoint bound = socket->endpoint();
  const Fd client = test::connect_to(bound);
  Fd accepted = socket->accept();
  accepted.reset();  // The first to close is the one left in TIME_WAIT.
  EXPECT_EQ(test::receive(client.get()).error, 0);
  test::half_close(client.get());
  socket.reset();
  for (int round = 0; round < 2; ++round) {
    const auto again = bind_tcp(must(local_endpoint(bound)));
    ASSERT_TRUE(again.ok()) << again.error().message;
  }
}

TEST(BindTcp, NamesTheAddressThatIsNotLocal) {
  const auto socket = bind_tcp(must(local_endpoint({"203.0.113.7", 4000})));
  ASSERT_FALSE(socket.ok());
  EXPECT_EQ(socket.error().cause, Cause::invalid_argument);
  EXPECT_NE(socket.error().message.find("203.0.113.7:4000"), std::string::npos);
}

TEST(BindTcp, SaysThatDescriptorsRanOut) {
  const auto address = must(local_endpoint({"127.0.0.1", 0}));
  const test::NoMoreDescriptors none;
  const auto socket = bind_tcp(address);
  ASSERT_FALSE(socket.ok());
  EXPECT_EQ(socket.error().cause, Cause::exhausted);
}

TEST(LocalEndpoint, ResolvesNamesAndWildcards) {
  EXPECT_TRUE(must(local_endpoint({"localhost", 1})).address().is_loopback());
  EXPECT_EQ(to_endpoint(must(local_endpoint({"", 5}))), (Endpoint{"0.0.0.0", 5}));
  EXPECT_EQ(to_endpoint(must(local_endpoint({"::", 5}))), (Endpoint{"::", 5}));
  const auto unknown = local_endpoint({"no-such-host.invalid", 1});
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().cause, Cause::invalid_argument);
  EXPECT_NE(unknown.error().message.find("no-such-host.invalid"), std::string::npos);
}

TEST(StreamOptions, AreInheritedByAcceptedSockets) {
  const Fd listener = must(bind_tcp(must(local_endpoint({"127.0.0.1", 0}))));
  set_stream_options(listener.get());
  set_reset_on_close(listener.get(), true);
  must(listen_tcp(listener.get(), 8));
  const Fd client = test::connect_to(to_endpoint(must(bound_address(listener.get()))));
  ASSERT_EQ(test::poll_for(listener.get(), POLLIN), 1);
  const Fd accepted(::accept(listener.get(), nullptr, nullptr));
  EXPECT_EQ(option(accepted.get(), IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(option(accepted.get(), SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(accepted.get(), IPPROTO_TCP, TCP_KEEPIDLE), 60);
  EXPECT_EQ(option(accepted.get(), IPPROTO_TCP, TCP_KEEPINTVL), 10);
  EXPECT_EQ(option(accepted.get(), IPPROTO_TCP, TCP_KEEPCNT), 6);
  const auto on = option<linger>(accepted.get(), SOL_SOCKET, SO_LINGER);
  EXPECT_EQ(on.l_onoff, 1);
  EXPECT_EQ(on.l_linger, 0);
}

std::string congestion_control(int socket) {
  const auto name = option<std::array<char, 16>>(socket, IPPROTO_TCP, TCP_CONGESTION);
  return {name.data()};
}

TEST(CongestionControl, OfLoopbackDoesNotPaceAndOthersKeepTheirs) {
  const auto of = [](const char* address) {
    const Fd socket(::socket(AF_INET, SOCK_STREAM, 0));
    leave_unpaced_on_loopback(socket.get(), must(local_endpoint({address, 9})));
    return congestion_control(socket.get());
  };
  const Fd untouched(::socket(AF_INET, SOCK_STREAM, 0));
  const std::string usual = congestion_control(untouched.get());
  EXPECT_EQ(of("127.0.3.1"), "reno");
  EXPECT_EQ(of("192.0.2.1"), usual);
  EXPECT_EQ(of("0.0.0.0"), usual);
}

class AsyncResolve : public ::testing::Test {
 protected:
  std::pair<boost::system::error_code, std::vector<tcp::endpoint>> resolve(
      const Endpoint& endpoint) {
    std::promise<std::pair<boost::system::error_code, std::vector<tcp::endpoint>>> promise;
    async_resolve(resolver_, endpoint,
                  [&promise](boost::system::error_code ec, std::vector<tcp::endpoint> found) {
                    promise.set_value({ec, std::move(found)});
                  });
    return promise.get_future().get();
  }

  IoThreads threads_{1};
  tcp::resolver resolver_{threads_.at(0)};
};

TEST_F(AsyncResolve, TakesAddressesWithoutAResolverThread) {
  const int before = test::thread_count();
  const auto [ec, found] = resolve({"::1", 4000});
  EXPECT_FALSE(ec);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(to_endpoint(found[0]), (Endpoint{"::1", 4000}));
  EXPECT_EQ(test::thread_count(), before);
}

TEST_F(AsyncResolve, FindsNamesAndReportsUnknownOnes) {
  const auto [ec, found] = resolve({"localhost", 4000});
  EXPECT_FALSE(ec);
  ASSERT_FALSE(found.empty());
  EXPECT_TRUE(found[0].address().is_loopback());
  EXPECT_EQ(found[0].port(), 4000);
  EXPECT_TRUE(resolve({"no-such-host.invalid", 1}).first);
}

TEST(LocalAddresses, ListLoopbackOnce) {
  const auto addresses = must(local_addresses());
  EXPECT_EQ(std::count(addresses.begin(), addresses.end(), "127.0.0.1"), 1);
}

TEST(LocalAddresses, AreTheOnesThatCanBeBound) {
  for (const char* local : {"127.0.0.1", "127.9.8.7", "localhost", "0.0.0.0", ""}) {
    EXPECT_TRUE(is_local_address(local)) << local;
  }
  for (const char* remote : {"203.0.113.7", "no-such-host.invalid"}) {
    EXPECT_FALSE(is_local_address(remote)) << remote;
  }
}

// Protocol: wildcard-route
TEST(RouteSource, IsTheAddressThePeerWouldSee) {
  EXPECT_EQ(must(route_source("127.0.0.1")), "127.0.0.1");
  const auto name = route_source("localhost");
  ASSERT_FALSE(name.ok());
  EXPECT_EQ(name.error().cause, Cause::invalid_argument);
}

}  // namespace
}  // namespace scistream::net

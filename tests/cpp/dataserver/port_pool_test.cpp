#include "dataserver/port_pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "dataserver/free_range.hpp"
#include "net/sockets.hpp"
#include "net/udp.hpp"

namespace scistream::dataserver {
namespace {

using test::must;

std::vector<std::uint16_t> ports_of(const net::BoundPorts& sockets) {
  std::vector<std::uint16_t> ports;
  for (const net::Fd& socket : sockets.listeners) {
    ports.push_back(must(net::bound_address(socket.get())).port());
  }
  return ports;
}

class PortPoolTest : public ::testing::Test {
 protected:
  const net::tcp::endpoint host_ = test::address_of({"127.0.0.1", 0});
  const PortRange range_ = test::free_range(8);
  PortPool pool_;
};

TEST_F(PortPoolTest, APortForDatagramsIsFreeForThemToo) {
  const net::Fd taken = must(net::bind_udp({host_.address(), range_.first}));
  const auto sockets = must(pool_.take(host_, range_, 7, true));
  EXPECT_EQ(sockets.datagrams.size(), 7U);
  const auto ports = ports_of(sockets);
  EXPECT_EQ(std::count(ports.begin(), ports.end(), range_.first), 0);
  for (std::size_t i = 0; i < ports.size(); ++i)
    EXPECT_EQ(must(net::bound_address(sockets.datagrams[i].get())).port(), ports[i]);
  EXPECT_FALSE(pool_.take(host_, range_, 1, true));
  EXPECT_TRUE(pool_.take(host_, range_, 1)) << "for connections there is one left";
}

// Protocol: ports-of-range
TEST_F(PortPoolTest, GivesEveryPortOfTheRangeOnce) {
  const auto ports = ports_of(must(pool_.take(host_, range_, 8)));
  EXPECT_EQ(std::set<std::uint16_t>(ports.begin(), ports.end()).size(), 8U);
  for (const std::uint16_t port : ports) EXPECT_TRUE(range_.contains(port)) << port;
}

TEST_F(PortPoolTest, DoesNotReuseAFreshlyFreedPort) {
  std::set<std::uint16_t> seen;
  for (int i = 0; i < 8; ++i) seen.insert(ports_of(must(pool_.take(host_, range_, 1)))[0]);
  EXPECT_EQ(seen.size(), 8U);
}

// Protocol: ports-held-by-others
TEST_F(PortPoolTest, SkipsPortsHeldByOthers) {
  const net::Fd other = must(net::bind_tcp(test::address_of({"127.0.0.1", range_.first})));
  const auto ports = ports_of(must(pool_.take(host_, range_, 7)));
  EXPECT_EQ(std::count(ports.begin(), ports.end(), range_.first), 0);
}

TEST_F(PortPoolTest, SaysHowManyAreFreeAndKeepsNone) {
  const net::Fd other = must(net::bind_tcp(test::address_of({"127.0.0.1", range_.last})));
  const auto sockets = pool_.take(host_, range_, 8);
  ASSERT_FALSE(sockets.ok());
  EXPECT_EQ(sockets.error().cause, Cause::exhausted);
  EXPECT_EQ(sockets.error().message,
            "8 listeners wanted, 7 of range " + to_string(range_) + " are free");
  EXPECT_EQ(must(pool_.take(host_, range_, 7)).listeners.size(), 7U);
}

TEST_F(PortPoolTest, KeepsNothingWithoutDescriptors) {
  const int before = test::open_descriptors();
  {
    const test::NoMoreDescriptors none;
    const auto sockets = pool_.take(host_, range_, 2);
    ASSERT_FALSE(sockets.ok());
    EXPECT_EQ(sockets.error().cause, Cause::exhausted);
    EXPECT_NE(sockets.error().message.find("open files"), std::string::npos);
  }
  EXPECT_EQ(test::open_descriptors(), before);
}

TEST_F(PortPoolTest, NamesAHostThatIsNotLocal) {
  const auto sockets = pool_.take(test::address_of({"203.0.113.7", 0}), range_, 1);
  ASSERT_FALSE(sockets.ok());
  EXPECT_EQ(sockets.error().cause, Cause::invalid_argument);
}

TEST_F(PortPoolTest, TakesExactlyTheNamedPortsOrNone) {
  const std::vector<std::uint16_t> wanted{range_.last, range_.first};
  EXPECT_EQ(ports_of(must(PortPool::take_exactly(host_, wanted))), wanted);
  const net::Fd other = must(net::bind_tcp(test::address_of({"127.0.0.1", range_.first})));
  const auto sockets = PortPool::take_exactly(host_, wanted);
  ASSERT_FALSE(sockets.ok());
  EXPECT_EQ(sockets.error().cause, Cause::exhausted);
  EXPECT_NE(sockets.error().message.find(std::to_string(range_.first)), std::string::npos);
  EXPECT_TRUE(net::bind_tcp(test::address_of({"127.0.0.1", range_.last})).ok());
}

}  // namespace
}  // namespace scistream::dataserver

#include "relay/dial_order.hpp"

#include <vector>

#include "relay/relay_fixture.hpp"

namespace scistream::relay {
namespace {

using namespace test;

constexpr Clock::time_point then{std::chrono::hours(1)};

class DialOrderTest : public ::testing::Test {
 protected:
  bool ready(std::uint64_t id, Clock::time_point now = then, const std::string& client = "a") {
    return order_.ready(client, id, now, [this, id] { gone_.push_back(id); });
  }
  DialOrder order_;
  std::vector<std::uint64_t> gone_;
};

TEST_F(DialOrderTest, WhoCameFirstIsDialledFirst) {
  for (const std::uint64_t id : {1, 2, 3}) order_.came("a", id, then);
  EXPECT_FALSE(ready(3));
  EXPECT_FALSE(ready(2));
  EXPECT_TRUE(ready(1));
  order_.over("a", 1);
  EXPECT_EQ(gone_, (std::vector<std::uint64_t>{2}));
  order_.over("a", 1);  // as the end of the connection says again
  EXPECT_EQ(gone_.size(), 1U);
  order_.over("a", 2);
  EXPECT_EQ(gone_, (std::vector<std::uint64_t>{2, 3}));
  order_.over("a", 3);
  EXPECT_TRUE(ready(4)) << "of whom nothing is known";
}

TEST_F(DialOrderTest, OthersDoNotWait) {
  order_.came("a", 1, then);
  order_.came("b", 2, then);
  EXPECT_TRUE(ready(2, then, "b"));
}

TEST_F(DialOrderTest, WhoEndsMakesWay) {
  for (const std::uint64_t id : {1, 2, 3}) order_.came("a", id, then);
  EXPECT_FALSE(ready(3));
  order_.over("a", 2);
  EXPECT_TRUE(gone_.empty());
  order_.over("a", 1);
  EXPECT_EQ(gone_, (std::vector<std::uint64_t>{3}));
}

TEST_F(DialOrderTest, NobodyWaitsForLong) {
  for (const std::uint64_t id : {1, 2, 3}) order_.came("a", id, then);
  EXPECT_FALSE(ready(2));
  EXPECT_FALSE(ready(3));
  EXPECT_TRUE(order_.jump("a", 3));
  EXPECT_EQ(gone_, (std::vector<std::uint64_t>{2})) << "the first has lost its place";
  EXPECT_FALSE(order_.jump("a", 2)) << "its turn had come";
  EXPECT_TRUE(ready(1)) << "and goes whenever it can";
}

TEST_F(DialOrderTest, WhoIsAtItForLongHoldsUpNobody) {
  order_.came("a", 1, then);  // and says nothing
  order_.came("a", 2, then + 100ms);
  order_.came("a", 3, then + 100ms);
  EXPECT_FALSE(ready(3, then + 100ms)) << "behind the second";
  EXPECT_TRUE(ready(2, then + 100ms));
}

TEST_F(DialOrderTest, NobodyWaitsWhereAClientOpensManyAtOnce) {
  for (std::uint64_t id = 1; id <= DialOrder::most; ++id) order_.came("a", id, then);
  EXPECT_FALSE(ready(5));
  order_.came("a", DialOrder::most + 1, then);
  EXPECT_EQ(gone_, (std::vector<std::uint64_t>{5}));
  EXPECT_TRUE(ready(9));
  for (std::uint64_t id = 1; id <= DialOrder::most + 1; ++id) order_.over("a", id);
  order_.came("a", 100, then);
  order_.came("a", 101, then);
  EXPECT_FALSE(ready(101)) << "once those are dialled, order is kept again";
}

class InOrder : public EveryLeg {};

// Protocol: connections-in-order
TEST_P(InOrder, ConnectionsReachTheTargetAsTheyCame) {
  const Target target;
  const TwoRelays relays = forward_to({target.endpoint()});
  for (int round = 0; round < 60; ++round) {
    std::vector<net::Fd> clients;
    for (int i = 0; i < 4; ++i) {
      clients.push_back(connect_to(relays->listeners().at(0)));
      send_all(clients.back().get(), std::to_string(i));
    }
    std::string order;
    for (int i = 0; i < 4; ++i) {
      const net::Fd accepted = target.accept();
      ASSERT_TRUE(accepted);
      order += receive(accepted.get(), 1).bytes;
    }
    ASSERT_EQ(order, "0123") << round;
  }
}

INSTANTIATE_TEST_SUITE_P(Legs, InOrder, every_leg, EveryLeg::name);

}  // namespace
}  // namespace scistream::relay

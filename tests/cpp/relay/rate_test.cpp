// A rate that sessions keep, on real sockets.
#include <thread>

#include "relay/relay_fixture.hpp"

namespace scistream::relay {
namespace {

using namespace test;
using clock = std::chrono::steady_clock;

/// What may go at once, and what a clock may be off.
constexpr auto slack = 15ms;

std::chrono::duration<double> time_of(std::size_t bytes, std::uint64_t mbps) {
  return std::chrono::duration<double>(static_cast<double>(bytes) * 8 /
                                       static_cast<double>(mbps * bits_per_megabit));
}

/// Sends `bytes` and the end of the stream from `source`, receives them at `sink`; how long it
/// took.
clock::duration timed(int source, int sink, const std::string& bytes) {
  const auto start = clock::now();
  std::thread sender([&] {
    send_all(source, bytes);
    half_close(source);
  });
  const Received got = receive(sink);
  const auto took = clock::now() - start;
  sender.join();
  EXPECT_EQ(got.error, 0);
  EXPECT_TRUE(got.bytes == bytes);
  return took;
}

class Rate : public RelayFixture, public ::testing::WithParamInterface<const char*> {
 protected:
  TwoRelays relays(const Target& target, const Options& options = {}) {
    if (std::string_view(GetParam()) == "plain")
      return plain(threads_, {target.endpoint()}, options);
    return encrypted(threads_, {target.endpoint()}, options);
  }
};

// Protocol: rate-each-way
TEST_P(Rate, IsNotExceededInEitherDirection) {
  const Target target;
  const auto relay = relays(target);
  const std::string bytes = pattern(4'000'000, 1);
  const auto least = time_of(bytes.size(), 80) - slack;
  // The directions do not wait for each other: then they would take twice as long, always. One slow
  // round says something of the machine only.
  const auto in_time = [&] {
    relay->set_rate(80);  // then nothing moves,
    Stream stream = stream_through(*relay, target);
    relay->set_rate(80 * bits_per_megabit);  // and live connections notice.
    clock::duration down{};
    std::thread other_way([&] { down = timed(stream.target.get(), stream.client.get(), bytes); });
    const auto up = timed(stream.client.get(), stream.target.get(), bytes);
    other_way.join();
    EXPECT_GE(up, least);
    EXPECT_GE(down, least);
    return up + down <= 3 * least;
  };
  int rounds = 1;
  while (!in_time() && rounds < 10) ++rounds;
  EXPECT_LT(rounds, 10);
}

// Protocol: rate-all-connections
TEST_P(Rate, HoldsForAllConnectionsTogetherAndTheyShareIt) {
  const Target target;
  const auto relay = relays(target);
  std::vector<Stream> streams;
  for (int i = 0; i < 4; ++i) streams.push_back(stream_through(*relay, target));
  relay->set_rate(80 * bits_per_megabit);
  const auto start = clock::now();
  std::atomic<bool> over{false};
  std::vector<std::thread> senders;
  for (Stream& stream : streams) {
    senders.emplace_back([&over, socket = stream.client.get()] {
      const std::string bytes = pattern(65'536, 1);
      while (!over && ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0) {
      }
    });
  }
  std::vector<std::thread> receivers;
  for (Stream& stream : streams) {
    receivers.emplace_back([&over, socket = stream.target.get()] {
      while (!over) (void)receive(socket, 10'000);
    });
  }
  EXPECT_TRUE(eventually([&] { return relay->snapshot().bytes_to_target > 10'000'000; }));
  const auto moved = relay->connections();
  const std::chrono::duration<double> took = clock::now() - start;
  over = true;
  EXPECT_TRUE(comes(cut(*relay)));
  for (std::thread& thread : senders) thread.join();
  for (std::thread& thread : receivers) thread.join();

  ASSERT_EQ(moved.size(), streams.size());
  std::uint64_t sum = 0;
  for (const ConnectionSnapshot& each : moved) sum += each.bytes_to_target;
  EXPECT_LE(time_of(sum, 80), took + slack);
  for (const ConnectionSnapshot& each : moved) {
    EXPECT_GT(each.bytes_to_target, sum / 8) << "a fair share is a quarter";
    EXPECT_LT(each.bytes_to_target, sum / 2);
  }
}

TEST_P(Rate, CanBeTakenAwayWhileItHoldsEverythingUp) {
  const Target target;
  const auto relay = relays(target);
  Stream stream = stream_through(*relay, target);
  relay->set_rate(bits_per_megabit);
  const std::string bytes = pattern(8'000'000, 1);  // more than a minute's worth
  std::thread faster([&] {
    EXPECT_TRUE(eventually([&] { return relay->snapshot().bytes_to_target > 10'000; }));
    relay->set_rate(0);
  });
  (void)timed(stream.client.get(), stream.target.get(), bytes);
  faster.join();
}

TEST_P(Rate, ACutEndsWhatWaitsForItsTurn) {
  const Target target;
  const auto relay = relays(target);
  Stream stream = stream_through(*relay, target);
  relay->set_rate(bits_per_megabit);
  std::thread sender([&] {
    const std::string bytes = pattern(1'000'000, 1);
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t part =
          ::send(stream.client.get(), bytes.data(), bytes.size() - sent, MSG_NOSIGNAL);
      if (part <= 0) return;
      sent += static_cast<std::size_t>(part);
    }
  });
  EXPECT_TRUE(eventually([&] { return relay->snapshot().bytes_to_target > 10'000; }));
  EXPECT_TRUE(comes(cut(*relay)));
  sender.join();
  EXPECT_EQ(receive(stream.target.get()).error, ECONNRESET);
}

INSTANTIATE_TEST_SUITE_P(Legs, Rate, ::testing::Values("plain", "encrypted"),
                         [](const auto& leg) { return std::string(leg.param); });

using RateOfSessions = RelayFixture;

// Protocol: rate-best-effort, rate-lease
TEST_F(RateOfSessions, WhoLeasedNoneSharesWhatALeaseLeaves) {
  Options options;
  options.facility.to_target = std::make_shared<Schedule>();
  options.facility.to_target->set_rate(80 * bits_per_megabit);
  const Target target;
  const Target other_target;
  const auto leased = forward_to({target.endpoint()}, options);
  const auto other = forward_to({other_target.endpoint()}, options);
  Stream first = stream_through(*leased, target);
  Stream second = stream_through(*other, other_target);
  leased->set_rate(60 * bits_per_megabit, true);

  const std::string bytes = pattern(3'000'000, 1);
  clock::duration lease_took{};
  const auto start = clock::now();
  std::thread lease([&] { lease_took = timed(first.client.get(), first.target.get(), bytes); });
  EXPECT_TRUE(eventually([&] { return leased->snapshot().bytes_to_target > 0; }));
  const auto other_took = timed(second.client.get(), second.target.get(), bytes);
  lease.join();
  const auto both_took = clock::now() - start;
  EXPECT_GE(lease_took, time_of(bytes.size(), 60) - slack);
  EXPECT_GE(both_took, time_of(2 * bytes.size(), 80) - slack)
      << "both went through what the facility has";
  EXPECT_LT(lease_took, other_took) << "and the lease went ahead";
}

}  // namespace
}  // namespace scistream::relay

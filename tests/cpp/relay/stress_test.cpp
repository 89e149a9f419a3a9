// What streams survive: everything at once, and ends at any moment.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <random>
#include <thread>

#include "relay/hashes.hpp"
#include "relay/relay_fixture.hpp"

namespace scistream::relay {
namespace {

using namespace test;

class Stress : public EveryLeg {};

// Protocol: data-unchanged
TEST_P(Stress, WritesOfAnySizeArriveUnchangedBothWaysAtOnce) {
  constexpr std::size_t streams = 4;
  constexpr std::size_t each_way = (32U << 20U) / slower;
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  std::vector<Stream> open;
  for (std::size_t i = 0; i < streams; ++i) open.push_back(stream_through(*relay, target));

  const std::string bytes = pattern(4U << 20U, 7);
  std::vector<std::string> sent(2 * streams);
  std::vector<std::string> received(2 * streams);
  std::vector<std::thread> threads;
  const auto carry = [&](std::size_t number, int from, int to) {
    threads.emplace_back([&, number, from] {
      std::mt19937_64 random(number + 1);
      // Powers of two: as many small writes as large ones.
      std::uniform_real_distribution<double> exponent(0, 22);
      Hash hash;
      for (std::size_t left = each_way; left > 0;) {
        const auto wanted = static_cast<std::size_t>(std::exp2(exponent(random)));
        const std::size_t size = std::min({left, wanted, bytes.size()});
        const std::size_t at = random() % (bytes.size() - size + 1);
        hash.add(bytes.data() + at, size);
        send_all(from, std::string_view(bytes).substr(at, size));
        left -= size;
      }
      half_close(from);
      sent[number] = hash.take();
    });
    threads.emplace_back([&, number, to] { received[number] = hash_of(to); });
  };
  for (std::size_t i = 0; i < streams; ++i) {
    carry(2 * i, open[i].client.get(), open[i].target.get());
    carry(2 * i + 1, open[i].target.get(), open[i].client.get());
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(sent == received);
  EXPECT_TRUE(eventually([&] { return relay->snapshot().connections_active == 0; }));
  EXPECT_EQ(relay->snapshot().errors, 0U);
}

// Protocol: half-close
TEST_P(Stress, AGibibyteComesBackAfterTheHalfClose) {
  constexpr std::size_t size = (1U << 30U) / slower / slower;
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  send_all(stream.client.get(), "everything, please");
  half_close(stream.client.get());
  EXPECT_EQ(receive(stream.target.get()).bytes, "everything, please");

  const std::string block = pattern(1U << 20U, 3);
  std::string sent;
  std::thread sender([&] { sent = send_hashed(stream.target.get(), block, size); });
  const std::string received = hash_of(stream.client.get());
  sender.join();
  EXPECT_TRUE(sent == received);
  EXPECT_TRUE(eventually([&] { return relay->snapshot().connections_active == 0; }));
  EXPECT_EQ(relay->snapshot().errors, 0U);
  EXPECT_EQ(relay->snapshot().bytes_to_client, size);
}

// Protocol: reset-passed-on
TEST_P(Stress, AThousandResetsAtAnyMomentReachTheOtherSideAndLeaveNothing) {
  constexpr std::size_t rounds = 1'000 / slower;
  constexpr std::size_t at_once = 8;
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  const auto before = open_descriptors("socket:");
  const std::string bytes = pattern(1U << 20U, 5);
  std::atomic<std::size_t> wrong{0};
  std::mutex accepting;
  std::vector<std::thread> threads;
  for (std::size_t worker = 0; worker < at_once; ++worker) {
    threads.emplace_back([&, worker] {
      std::mt19937_64 random(worker);
      for (std::size_t round = worker; round < rounds; round += at_once) {
        Stream stream;
        {
          // One at a time: else whose connection is whose?
          const std::lock_guard lock(accepting);
          stream = stream_through(*relay, target);
        }
        const bool by_client = random() % 2 == 0;
        net::Fd& ends = by_client ? stream.client : stream.target;
        net::Fd& stays = by_client ? stream.target : stream.client;
        // Both send; the one that ends does so after any number of bytes.
        const std::size_t amount = random() % bytes.size();
        std::thread other([&, socket = stays.get()] {
          std::size_t at = 0;
          while (at < bytes.size()) {
            const ssize_t sent =
                ::send(socket, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent <= 0) break;
            at += static_cast<std::size_t>(sent);
          }
        });
        std::size_t at = 0;
        while (at < amount) {
          const ssize_t sent =
              ::send(ends.get(), bytes.data() + at, amount - at, MSG_NOSIGNAL | MSG_DONTWAIT);
          if (sent <= 0) break;
          at += static_cast<std::size_t>(sent);
        }
        other.join();
        reset(ends);
        const Received rest = receive(stays.get());
        const bool prefix = bytes.compare(0, rest.bytes.size(), rest.bytes) == 0;
        if (rest.error != ECONNRESET || !prefix) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0U);
  EXPECT_TRUE(eventually([&] { return relay->snapshot().connections_active == 0; }));
  EXPECT_EQ(relay->snapshot().connections_total, rounds);
  EXPECT_EQ(relay->snapshot().errors, rounds);
  // Pipes are kept for the next connection.
  EXPECT_TRUE(eventually([&] { return open_descriptors("socket:") <= before; }));
}

INSTANTIATE_TEST_SUITE_P(Legs, Stress, every_leg, EveryLeg::name);

}  // namespace
}  // namespace scistream::relay

// What goes on around streams, and readers that do not keep up: nothing is lost, nobody else waits,
// and memory stays what the connections need.
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <thread>

#include "relay/buffer_pool.hpp"
#include "relay/hashes.hpp"
#include "relay/relay_fixture.hpp"

namespace scistream::relay {
namespace {

using namespace test;

/// Bytes of this process that are in memory, those of sockets and pipes not among them. Sanitizers
/// keep what was freed: nothing is known then.
std::size_t resident() {
  if (slower > 1) return 0;
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0;
  std::size_t pages = 0;
  file >> all >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// A stream that is filled from one end by a thread of its own.
class Filled {
 public:
  Filled(net::Fd from, net::Fd to, std::string_view block, std::size_t size)
      : from_(std::move(from)),
        to_(std::move(to)),
        sender_([this, block, size] { sent_ = send_hashed(from_.get(), block, size); }) {}
  Filled(Filled&&) = delete;
  ~Filled() { ::shutdown(from_.get(), SHUT_RDWR); }  // should nobody have read it

  /// Reads so much and adds it to what was read; false if it does not come.
  bool read(std::size_t size) {
    const Received part = receive(to_.get(), size);
    hash_.add(part.bytes.data(), part.bytes.size());
    return part.bytes.size() == size;
  }
  /// Reads the rest; whether all that was sent has come.
  bool ends_well() {
    if (!read_to_end(to_.get(), hash_)) return false;
    sender_.join();
    return hash_.take() == sent_;
  }

 private:
  net::Fd from_;
  net::Fd to_;
  std::string sent_;
  Hash hash_;
  std::jthread sender_;  // the last: it uses the others
};

/// Every leg at once, so that what takes its time takes it once.
class Endurance : public RelayFixture {
 protected:
  struct Leg {
    std::unique_ptr<Target> target = std::make_unique<Target>();
    TwoRelays relays;
  };
  std::array<Leg, legs.size()> every_leg_of() {
    std::array<Leg, legs.size()> all;
    for (std::size_t i = 0; i < legs.size(); ++i)
      all[i].relays = leg_to(legs[i], threads_, {all[i].target->endpoint()});
    return all;
  }
};

// Protocol: data-unchanged
TEST_F(Endurance, ReadersThatStopForTenSecondsLoseNothing) {
  const auto all_legs = every_leg_of();
  const std::string block = pattern(1U << 20U, 11);
  constexpr std::size_t size = (128U << 20U) / slower;
  std::vector<std::unique_ptr<Filled>> streams;
  for (const Leg& leg : all_legs) {
    for (int direction = 0; direction < 2; ++direction) {
      Stream stream = stream_through(*leg.relays, *leg.target);
      if (direction == 1) std::swap(stream.client, stream.target);
      streams.push_back(std::make_unique<Filled>(std::move(stream.client), std::move(stream.target),
                                                 block, size));
    }
  }
  for (const auto& stream : streams) EXPECT_TRUE(stream->read(1U << 20U));
  const std::size_t before = resident();
  std::this_thread::sleep_for(10s);  // is what is tested
  // Nothing gathers meanwhile: what does not fit the buffers waits at its sender.
  EXPECT_LE(resident(), before + streams.size() * 2 * BufferPool::size + (8U << 20U));
  for (const auto& stream : streams) EXPECT_TRUE(stream->ends_well());
}

TEST_F(Endurance, ReadersOfAMebibyteASecondHoldUpNobodyElseAndNoMemory) {
  const auto all_legs = every_leg_of();
  const std::string block = pattern(1U << 20U, 13);
  constexpr std::size_t size = (64U << 20U) / slower;
  constexpr std::size_t each = 4;
  std::vector<std::unique_ptr<Filled>> slow;
  for (const Leg& leg : all_legs) {
    for (std::size_t i = 0; i < each; ++i) {
      Stream stream = stream_through(*leg.relays, *leg.target);
      slow.push_back(std::make_unique<Filled>(std::move(stream.client), std::move(stream.target),
                                              block, size));
    }
  }
  const std::size_t before = resident();
  const auto start = std::chrono::steady_clock::now();
  constexpr std::size_t steps = 24;
  for (std::size_t step = 1; step <= steps; ++step) {
    for (const auto& stream : slow) ASSERT_TRUE(stream->read(128U << 10U));
    std::this_thread::sleep_until(start + step * 125ms);  // a mebibyte a second
    const Leg& leg = all_legs[step % all_legs.size()];
    Stream quick = stream_through(*leg.relays, *leg.target);
    send_all(quick.client.get(), block);
    EXPECT_EQ(receive(quick.target.get(), block.size()).bytes, block);
  }
  EXPECT_LE(resident(), before + (slow.size() + 1) * 2 * BufferPool::size + (16U << 20U));
  for (const auto& stream : slow) EXPECT_TRUE(stream->ends_well());
}

/// Connects from an address of its own: who fails often has to wait.
net::Fd stranger_to(const Endpoint& relay) {
  net::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in from{};
  from.sin_family = AF_INET;
  from.sin_addr.s_addr = htonl(0x7f630909);  // 127.99.9.9
  must(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from) == 0
           ? Status()
           : errno_error("bind", errno));
  (void)connect_socket(socket.get(), relay);  // one that was refused already is as good
  return socket;
}

TEST_F(Endurance, ThousandsOfStrangersDoNotDisturbAStream) {
  const Target target;
  const TwoRelays relays = encrypted(threads_, {target.endpoint()}, {});
  const std::string block = pattern(1U << 20U, 17);
  constexpr std::size_t size = (512U << 20U) / slower;
  Stream stream = stream_through(*relays, target);
  Filled busy(std::move(stream.client), std::move(stream.target), block, size);
  ASSERT_TRUE(busy.read(1U << 20U));
  constexpr std::size_t each = 1'000;
  std::vector<net::Fd> silent;
  std::thread strangers([&] {
    for (std::size_t i = 0; i < each; ++i) {
      silent.push_back(stranger_to(relays.producer->listeners().at(0)));
      const net::Fd garbage = stranger_to(relays.producer->listeners().at(0));
      (void)::send(garbage.get(), block.data() + i * 100, 300, MSG_NOSIGNAL);
      if (i % 100 != 0) continue;
      // Who has the key is let in meanwhile.
      const net::Fd friendly = connect_to(relays->listeners().at(0));
      send_all(friendly.get(), "hello");
      const net::Fd accepted = target.accept();
      EXPECT_EQ(receive(accepted.get(), 5).bytes, "hello");
    }
  });
  EXPECT_TRUE(busy.ends_well());
  strangers.join();
  // All but those that may still be silent.
  EXPECT_TRUE(eventually([&] {
    return relays.producer->snapshot().refused >= 2 * each - 2 * Options().most_handshakes;
  }));
  EXPECT_EQ(relays.producer->snapshot().bytes_to_target, size + (each / 100) * 5);
}

TEST_F(Endurance, AHundredSessionsComeAndGoWhileOthersStream) {
  constexpr std::size_t sessions = 100;
  constexpr std::size_t each = 4;
  constexpr std::size_t workers = 8;
  const auto before = open_descriptors("socket:");
  const std::string block = pattern(1U << 20U, 19);
  {
    const auto all_legs = every_leg_of();
    std::vector<std::unique_ptr<Filled>> streams;
    for (const Leg& leg : all_legs) {
      Stream stream = stream_through(*leg.relays, *leg.target);
      streams.push_back(std::make_unique<Filled>(std::move(stream.client), std::move(stream.target),
                                                 block, (512U << 20U) / slower));
    }
    std::vector<std::thread> readers;
    std::array<bool, legs.size()> well{};
    for (std::size_t i = 0; i < streams.size(); ++i)
      readers.emplace_back([&, i] { well[i] = streams[i]->ends_well(); });

    // All are there at one time: each worker opens its share before it releases any.
    struct Session {
      std::unique_ptr<Target> target = std::make_unique<Target>();
      TwoRelays relays;
      std::vector<Stream> streams;
    };
    std::vector<Session> all(sessions);
    std::atomic<std::size_t> wrong{0};
    const auto in_parallel = [&](const std::function<void(std::size_t)>& work) {
      std::vector<std::thread> threads;
      for (std::size_t worker = 0; worker < workers; ++worker)
        threads.emplace_back([&, worker] {
          for (std::size_t i = worker; i < sessions; i += workers) work(i);
        });
      for (std::thread& thread : threads) thread.join();
    };
    in_parallel([&](std::size_t i) {
      Session& session = all[i];
      session.relays = encrypted(threads_, {session.target->endpoint()}, {});
      for (std::size_t j = 0; j < each; ++j)
        session.streams.push_back(stream_through(*session.relays, *session.target));
    });
    in_parallel([&](std::size_t i) {
      for (Stream& stream : all[i].streams) {
        const std::string_view part = std::string_view(block).substr(i * 1000, 60'000);
        send_all(stream.client.get(), part);
        send_all(stream.target.get(), part);
        if (receive(stream.target.get(), part.size()).bytes != part) ++wrong;
        if (receive(stream.client.get(), part.size()).bytes != part) ++wrong;
      }
      // Half of them end by themselves, half are released while they are open.
      if (i % 2 == 0) {
        for (Stream& stream : all[i].streams) {
          half_close(stream.client.get());
          half_close(stream.target.get());
        }
      }
      if (!comes(cut(*all[i].relays.consumer)) || !comes(cut(*all[i].relays.producer))) ++wrong;
      all[i] = Session();
    });
    for (std::thread& reader : readers) reader.join();
    EXPECT_EQ(wrong, 0U);
    for (const bool each_well : well) EXPECT_TRUE(each_well);
  }
  EXPECT_TRUE(eventually([&] { return open_descriptors("socket:") <= before; }));
}

}  // namespace
}  // namespace scistream::relay

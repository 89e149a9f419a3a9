// Who may use an encrypted leg, and what happens to those who may not.
#include <thread>

#include "relay/handshake_gate.hpp"
#include "relay/relay_fixture.hpp"

namespace scistream::relay {
namespace {

using namespace test;

class Encrypted : public RelayFixture {
 protected:
  /// The producer's relay, to which others connect over the WAN.
  RelayPtr producer(const Target& target, const std::shared_ptr<net::KeyRing>& keys,
                    const Options& options = {}) {
    return open(threads_, {target.endpoint()}, options, tls(Side::accepted, keys));
  }
  RelayPtr consumer(const Relay& producer, const std::shared_ptr<net::KeyRing>& keys,
                    const Options& options = {}) {
    return open(threads_, producer.listeners(), options, tls(Side::dialled, keys));
  }
  static bool echoes(const Relay& entry, const Target& target) {
    const Stream stream = stream_through(entry, target);
    send_all(stream.client.get(), "ping");
    return receive(stream.target.get(), 4).bytes == "ping";
  }

  const Secret key = Secret::random(key_size);
};

// Protocol: data-key-refused, transport-tls
TEST_F(Encrypted, AnotherKeyIsRefusedBeforeTheApplicationHearsOfIt) {
  const Target target;
  const auto prod = producer(target, ring_of(key));
  const auto cons = consumer(*prod, ring_of(Secret::random(key_size)));
  const net::Fd client = connect_to(cons->listeners().at(0));
  EXPECT_EQ(receive(client.get()).error, ECONNRESET);
  // Once for each hash that it offers.
  EXPECT_TRUE(eventually([&] { return prod->snapshot().refused == 2; }));
  EXPECT_EQ(prod->snapshot().errors, 2U);
  EXPECT_EQ(prod->snapshot().connections_total, 0U);
  EXPECT_FALSE(target.accept(0ms)) << "the application was dialled";
}

TEST_F(Encrypted, PlainBytesAreRefused) {
  const Target target;
  const auto prod = producer(target, ring_of(key));
  const net::Fd client = connect_to(prod->listeners().at(0));
  send_all(client.get(), "GET / HTTP/1.1\r\nHost: instrument\r\n\r\n");
  EXPECT_NE(receive(client.get()).error, 0);
  EXPECT_TRUE(eventually([&] { return prod->snapshot().refused == 1; }));
  EXPECT_FALSE(target.accept(0ms));
}

// Protocol: transport-tls
TEST_F(Encrypted, AServerWithoutTheKeyGetsNoByte) {
  const Target impostor;  // takes connections and says nothing that proves anything
  Options options;
  options.handshake_deadline = 300ms;
  const auto cons =
      open(threads_, {impostor.endpoint()}, options, tls(Side::dialled, ring_of(key)));
  const net::Fd client = connect_to(cons->listeners().at(0));
  send_all(client.get(), "the payload of an application");
  const net::Fd taken = impostor.accept();
  ASSERT_TRUE(taken);
  EXPECT_EQ(receive(client.get()).error, ECONNRESET);
  const Received seen = receive(taken.get());
  EXPECT_FALSE(seen.bytes.empty()) << "a ClientHello";
  EXPECT_EQ(seen.bytes.find("payload"), std::string::npos);
}

// Protocol: data-key-released
TEST_F(Encrypted, AReleasedKeyOpensNothingAndCutsNothing) {
  const Target target;
  const auto keys = ring_of(key);
  const auto prod = producer(target, keys);
  const auto cons = consumer(*prod, ring_of(key));
  const Stream live = stream_through(*cons, target);
  keys->clear();
  const net::Fd late = connect_to(cons->listeners().at(0));
  EXPECT_EQ(receive(late.get()).error, ECONNRESET);
  send_all(live.client.get(), "goes on");
  EXPECT_EQ(receive(live.target.get(), 7).bytes, "goes on");
}

// Protocol: data-key-replaced
TEST_F(Encrypted, AKeyIsReplacedOnOneSideAfterTheOther) {
  const Target target;
  for (const bool producer_first : {true, false}) {
    const auto prod_keys = ring_of(key);
    const auto cons_keys = ring_of(key);
    const auto prod = producer(target, prod_keys);
    const auto cons = consumer(*prod, cons_keys);
    const Secret next = Secret::random(key_size);
    EXPECT_TRUE(echoes(*cons, target));
    (producer_first ? prod_keys : cons_keys)->replace(next);
    EXPECT_TRUE(echoes(*cons, target)) << "one side has not heard of it yet";
    (producer_first ? cons_keys : prod_keys)->replace(next);
    EXPECT_TRUE(echoes(*cons, target));
    const auto late = consumer(*prod, ring_of(key));
    const net::Fd client = connect_to(late->listeners().at(0));
    EXPECT_EQ(receive(client.get()).error, ECONNRESET) << "the old key is gone";
  }
}

TEST_F(Encrypted, FacilitiesThatShareASuiteMeet) {
  using net::Ciphersuite;
  const std::vector<std::vector<Ciphersuite>> lists{
      {Ciphersuite::aes_128_gcm},
      {Ciphersuite::aes_256_gcm},
      {Ciphersuite::aes_256_gcm, Ciphersuite::aes_128_gcm},
      {Ciphersuite::chacha20_poly1305, Ciphersuite::aes_256_gcm}};
  static const SteadyClock clock;
  const auto ring = [&](const std::vector<Ciphersuite>& suites) {
    auto keys = std::make_shared<net::KeyRing>(suites, clock);
    keys->replace(key);
    return keys;
  };
  const Target target;
  for (const auto& ours : lists) {
    for (const auto& theirs : lists) {
      const bool meet =
          std::find_first_of(ours.begin(), ours.end(), theirs.begin(), theirs.end()) != ours.end();
      const auto prod = producer(target, ring(theirs));
      const auto cons = consumer(*prod, ring(ours));
      if (meet) {
        EXPECT_TRUE(echoes(*cons, target));
        EXPECT_TRUE(echoes(*cons, target)) << "and at once the second time";
      } else {
        const net::Fd client = connect_to(cons->listeners().at(0));
        EXPECT_EQ(receive(client.get()).error, ECONNRESET);
      }
    }
  }
}

TEST_F(Encrypted, WhoResetsAHalfMadeHandshakeIsCounted) {
  const Target target;
  const auto prod = producer(target, ring_of(key));
  net::Fd stranger = connect_to(prod->listeners().at(0));
  send_all(stranger.get(), std::string("\x16\x03\x01\x00", 4));
  reset(stranger);
  EXPECT_TRUE(eventually([&] { return prod->snapshot().refused == 1; }));
}

/// Forwards, byte by byte as told, between the two relays: the network as an attacker has it.
class Wire {
 public:
  explicit Wire(const Relay& producer) : far_(producer.listeners().at(0)) {}
  [[nodiscard]] const Endpoint& endpoint() const { return listener_.endpoint(); }
  void connect() {
    near_side_ = listener_.accept();
    far_side_ = connect_to(far_);
  }
  /// Passes on what comes for a while, both ways, with `change` applied to what goes to the client.
  void forward(std::chrono::milliseconds quiet, const std::function<void(std::string&)>& change) {
    for (;;) {
      pollfd both[2] = {{near_side_.get(), POLLIN, 0}, {far_side_.get(), POLLIN, 0}};
      if (::poll(both, 2, static_cast<int>(quiet.count())) <= 0) return;
      for (const bool to_client : {false, true}) {
        if ((both[to_client ? 1 : 0].revents & POLLIN) == 0) continue;
        std::string bytes(1U << 16U, 0);
        const int from = to_client ? far_side_.get() : near_side_.get();
        const ssize_t got = ::recv(from, bytes.data(), bytes.size(), 0);
        if (got <= 0) return;
        bytes.resize(static_cast<std::size_t>(got));
        if (to_client && change) change(bytes);
        send_all(to_client ? near_side_.get() : far_side_.get(), bytes);
      }
    }
  }
  net::Fd near_side_;
  net::Fd far_side_;

 private:
  Target listener_;
  Endpoint far_;
};

// Protocol: data-truncated
TEST_F(Encrypted, AConnectionThatIsCutDoesNotLookLikeTheEndOfTheData) {
  const Target target;
  const auto prod = producer(target, ring_of(key));
  Wire wire(*prod);
  const auto cons = open(threads_, {wire.endpoint()}, {}, tls(Side::dialled, ring_of(key)));
  const net::Fd client = connect_to(cons->listeners().at(0));
  wire.connect();
  std::thread network([&] { wire.forward(500ms, nullptr); });
  const net::Fd app = target.accept();
  ASSERT_TRUE(app);
  send_all(app.get(), "half");
  EXPECT_EQ(receive(client.get(), 4).bytes, "half");
  network.join();
  // A FIN of whoever sits between is not one of the peer's.
  half_close(wire.near_side_.get());
  half_close(wire.far_side_.get());
  EXPECT_EQ(receive(client.get()).error, ECONNRESET);
  EXPECT_EQ(receive(app.get()).error, ECONNRESET);
}

// Protocol: data-truncated
TEST_F(Encrypted, AChangedByteEndsTheConnectionAndIsNotHandedOn) {
  const Target target;
  const auto prod = producer(target, ring_of(key));
  Wire wire(*prod);
  const auto cons = open(threads_, {wire.endpoint()}, {}, tls(Side::dialled, ring_of(key)));
  const net::Fd client = connect_to(cons->listeners().at(0));
  wire.connect();
  std::atomic<bool> tamper{false};
  std::thread network([&] {
    wire.forward(500ms, [&](std::string& bytes) {
      if (tamper) bytes[bytes.size() / 2] ^= 1;
    });
  });
  const net::Fd app = target.accept();
  ASSERT_TRUE(app);
  send_all(app.get(), "good");
  EXPECT_EQ(receive(client.get(), 4).bytes, "good");
  tamper = true;
  send_all(app.get(), "changed on its way");
  const Received rest = receive(client.get());
  EXPECT_EQ(rest.bytes, "");
  EXPECT_EQ(rest.error, ECONNRESET);
  EXPECT_EQ(receive(app.get()).error, ECONNRESET);
  network.join();
}

// Protocol: data-key-silent
TEST_F(Encrypted, SilentPeersGiveWayToThoseThatProveThemselves) {
  const Target target;
  Options options;
  options.most_handshakes = 8;
  const auto prod = producer(target, ring_of(key), options);
  const auto cons = consumer(*prod, ring_of(key));
  std::vector<net::Fd> silent;
  for (int i = 0; i < 50; ++i) silent.push_back(connect_to(prod->listeners().at(0)));
  EXPECT_TRUE(echoes(*cons, target));
  // All but twice as many as may be at it.
  EXPECT_TRUE(eventually([&] { return prod->snapshot().refused >= 50 - 16; }));
  EXPECT_EQ(prod->snapshot().connections_total, 1U);
}

// Protocol: data-key-silent
TEST_F(Encrypted, WhoSaysNothingIsResetAfterTheDeadline) {
  const Target target;
  Options options;
  options.handshake_deadline = 100ms;
  const auto prod = producer(target, ring_of(key), options);
  const net::Fd silent = connect_to(prod->listeners().at(0));
  EXPECT_EQ(receive(silent.get()).error, ECONNRESET);
  EXPECT_TRUE(eventually([&] { return prod->snapshot().refused == 1; }));
}

TEST_F(Encrypted, CutEndsThoseThatProveThemselvesStill) {
  const Target target;
  const auto prod = producer(target, ring_of(key));
  const net::Fd silent = connect_to(prod->listeners().at(0));
  const net::Fd other = connect_to(prod->listeners().at(0));
  send_all(other.get(), "\x16\x03\x01");  // the start of a ClientHello
  ASSERT_TRUE(comes(cut(*prod)));
  EXPECT_EQ(receive(silent.get()).error, ECONNRESET);
  EXPECT_EQ(receive(other.get()).error, ECONNRESET);
}

TEST_F(Encrypted, TwoThousandIdleConnectionsHoldNoBuffers) {
  const Target target;
  const auto two = encrypted(threads_, {target.endpoint()}, {}, key);
  const auto resident = [] {
    std::ifstream file("/proc/self/statm");
    std::size_t total = 0;
    std::size_t pages = 0;
    file >> total >> pages;
    return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  };
  std::vector<Stream> streams;
  const auto add = [&](int count) {
    for (int i = 0; i < count; ++i) {
      streams.push_back(stream_through(*two, target));
      send_all(streams.back().client.get(), "x");
      ASSERT_EQ(receive(streams.back().target.get(), 1).bytes, "x");
    }
  };
  add(100);
  const std::size_t before = resident();
  add(2000);
  // Both relays are in this process; a sanitizer has costs of its own.
  constexpr std::size_t most = 48U << 10U;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr bool sanitized = true;
#else
  constexpr bool sanitized = false;
#endif
  EXPECT_TRUE(sanitized || (resident() - before) / 2000 / 2 < most);
  EXPECT_EQ(two->connections().size(), 2100U);
}

// Protocol: data-key-throttled
TEST(HandshakeGate, WhoFailsOftenWaits) {
  HandshakeGate gate(8);
  const Clock::time_point start(std::chrono::hours(1));
  EXPECT_TRUE(gate.admits("192.0.2.1", start));
  for (int i = 0; i < 20; ++i) (void)gate.failed("192.0.2.1", start);
  EXPECT_FALSE(gate.admits("192.0.2.1", start));
  EXPECT_TRUE(gate.admits("192.0.2.2", start)) << "others do not";
  EXPECT_TRUE(gate.admits("192.0.2.1", start + 300ms));
}

// Protocol: data-key-refused
TEST(HandshakeGate, FailuresAreSpokenOfOnceASecond) {
  HandshakeGate gate(8);
  const Clock::time_point start(std::chrono::hours(1));
  EXPECT_TRUE(gate.failed("192.0.2.1", start).say);
  EXPECT_FALSE(gate.failed("192.0.2.1", start + 100ms).say);
  EXPECT_FALSE(gate.failed("192.0.2.1", start + 200ms).say);
  const auto later = gate.failed("192.0.2.1", start + 1100ms);
  EXPECT_TRUE(later.say);
  EXPECT_EQ(later.unsaid, 2U);
}

TEST(HandshakeGate, WhoHasTheKeyIsForgiven) {
  HandshakeGate gate(8);
  const Clock::time_point start(std::chrono::hours(1));
  for (int i = 0; i < 20; ++i) (void)gate.failed("192.0.2.1", start);
  EXPECT_EQ(gate.succeeded("192.0.2.1", start), 19U);
  EXPECT_TRUE(gate.admits("192.0.2.1", start));
}

TEST(HandshakeGate, KnowsAPeerByWhatItCannotChange) {
  const auto of = [](const char* text) {
    return net::owned_by_peer(boost::asio::ip::make_address(text));
  };
  EXPECT_EQ(of("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(of("::ffff:192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::99"));
  EXPECT_NE(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
}

TEST(HandshakeGate, ForgetsWhomItHasNotSeenForLongest) {
  HandshakeGate gate(8);
  const Clock::time_point start(std::chrono::hours(1));
  for (int i = 0; i < 20; ++i) (void)gate.failed("first", start);
  for (std::size_t i = 0; i < HandshakeGate::most_addresses; ++i)
    (void)gate.failed("other " + std::to_string(i), start + 1ms);
  EXPECT_TRUE(gate.admits("first", start + 1ms));
}

// Protocol: data-key-throttled
TEST(HandshakeGate, WhoIsTurnedAwayIsSpokenOfToo) {
  HandshakeGate gate(8);
  const Clock::time_point start(std::chrono::hours(1));
  for (int i = 0; i < 20; ++i) (void)gate.failed("192.0.2.1", start);
  EXPECT_FALSE(gate.turned_away("192.0.2.1", start + 100ms).say);
  const auto later = gate.turned_away("192.0.2.1", start + 1100ms);
  EXPECT_TRUE(later.say);
  EXPECT_EQ(later.unsaid, 20U);
  EXPECT_FALSE(gate.turned_away("192.0.2.1", start + 1200ms).say);
  EXPECT_EQ(gate.succeeded("192.0.2.1", start + 1300ms), 1U) << "or said once all is well";
}

constexpr Clock::time_point then{std::chrono::hours(1)};

TEST(HandshakeGate, WhoTakesLongMakesRoom) {
  HandshakeGate gate(2);
  EXPECT_EQ(gate.begin(1, "a", then), std::nullopt);
  EXPECT_EQ(gate.begin(2, "b", then), std::nullopt);
  EXPECT_EQ(gate.begin(3, "c", then + 500ms), std::nullopt) << "nobody has been long at it";
  EXPECT_EQ(gate.begin(4, "c", then + 1'100ms), 1U);
  EXPECT_EQ(gate.begin(5, "c", then + 1'100ms), 2U);
}

TEST(HandshakeGate, TheFirstOfTheBusiestAddressMakesRoomWhereManyComeAtOnce) {
  HandshakeGate gate(2);
  for (const std::uint64_t id : {1, 2, 3, 4})
    EXPECT_EQ(gate.begin(id, id == 1 ? "a" : "b", then), std::nullopt);
  EXPECT_EQ(gate.begin(5, "c", then), 2U);
}

TEST(HandshakeGate, WhoHadTheKeyBeforeDoesNotMakeRoomForStrangers) {
  HandshakeGate gate(2);
  EXPECT_EQ(gate.succeeded("partner", then), 0U);
  EXPECT_EQ(gate.begin(1, "partner", then), std::nullopt);
  EXPECT_EQ(gate.begin(2, "stranger", then), std::nullopt);
  for (std::uint64_t id = 3; id <= 6; ++id) {
    const auto goes = gate.begin(id, "partner", then);
    EXPECT_EQ(goes, id == 5 ? std::optional<std::uint64_t>(2) : std::nullopt) << id;
  }
  for (std::uint64_t id = 7; id <= 17; ++id)
    EXPECT_EQ(gate.begin(id, "partner", then), std::nullopt) << id;
  EXPECT_EQ(gate.begin(18, "partner", then), 1U) << "not without end";
}

// Protocol: data-key-silent
TEST(HandshakeGate, ManySilentAddressesDoNotLockAGatewayOut) {
  HandshakeGate gate(512);
  std::uint64_t id = 0;
  for (int i = 0; i < 600; ++i) (void)gate.begin(++id, std::to_string(i % 100), then);
  // A gateway that opens 200 connections at once, before any of them has proved anything.
  const std::uint64_t first_of_gateway = id + 1;
  for (int i = 0; i < 200; ++i) {
    const auto goes = gate.begin(++id, "gateway", then + 2s);
    ASSERT_TRUE(goes.has_value());
    EXPECT_LT(*goes, first_of_gateway);
  }
}

}  // namespace
}  // namespace scistream::relay

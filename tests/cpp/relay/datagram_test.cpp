// Datagrams through relays: whole, in order, and back to who asked.
#include <netinet/in.h>
#include <netinet/udp.h>

#include <thread>

#include "net/udp.hpp"
#include "relay/datagram_frames.hpp"
#include "relay/relay_fixture.hpp"

namespace scistream::relay {
namespace {

using namespace test;
using clock = std::chrono::steady_clock;

/// A socket of an application.
class Peer {
 public:
  explicit Peer(std::uint16_t port = 0)
      : socket_(must(net::bind_udp({boost::asio::ip::make_address("127.0.0.1"), port}))) {
    const int off = 0;  // applications get one datagram at a time
    ::setsockopt(socket_.get(), SOL_UDP, UDP_GRO, &off, sizeof off);
  }

  [[nodiscard]] Endpoint endpoint() const { return net::to_endpoint(address()); }

  void send(const std::string& bytes, const Endpoint& to) const {
    const auto address = address_of(to);
    ASSERT_EQ(::sendto(socket_.get(), bytes.data(), bytes.size(), 0, address.data(),
                       static_cast<socklen_t>(address.size())),
              static_cast<ssize_t>(bytes.size()));
  }
  /// The next datagram; who it is from is remembered.
  std::string receive(std::chrono::milliseconds limit = 10s) {
    if (poll_for(socket_.get(), POLLIN, limit) != 1) return "nothing came";
    std::string bytes(net::most_datagram, '\0');
    auto size = static_cast<socklen_t>(from_.capacity());
    const ssize_t got =
        ::recvfrom(socket_.get(), bytes.data(), bytes.size(), 0, from_.data(), &size);
    if (got < 0) throw std::system_error(errno, std::generic_category(), "recvfrom");
    bytes.resize(static_cast<std::size_t>(got));
    return bytes;
  }
  void answer(const std::string& bytes) const { send(bytes, net::to_endpoint(from_)); }
  [[nodiscard]] Endpoint heard() const { return net::to_endpoint(from_); }
  [[nodiscard]] int socket() const { return socket_.get(); }

 private:
  [[nodiscard]] net::tcp::endpoint address() const {
    return must(net::bound_address(socket_.get()));
  }

  net::Fd socket_;
  net::tcp::endpoint from_;
};

class Datagram : public RelayFixture, public ::testing::WithParamInterface<const char*> {
 protected:
  static Options options() {
    Options options;
    options.datagrams = true;
    return options;
  }
  TwoRelays relays(const Peer& target, const Options& with = options()) {
    if (std::string_view(GetParam()) == "plain") return plain(threads_, {target.endpoint()}, with);
    return encrypted(threads_, {target.endpoint()}, with);
  }
  static Endpoint listener(const TwoRelays& relays) { return relays->listeners().at(0); }
};

// Protocol: datagrams-whole
TEST_P(Datagram, EachOneArrivesWholeAndInOrderBothWays) {
  Peer client;
  Peer target;
  const auto relay = relays(target);
  std::vector<std::string> sent;
  for (const std::size_t size : {1U, 0U, 1'400U, 1'400U, 1'400U, 700U, 9'000U, 65'507U, 2U})
    sent.push_back(pattern(size, size + sent.size()));
  for (const std::string& bytes : sent) client.send(bytes, listener(relay));
  for (const std::string& bytes : sent) ASSERT_TRUE(target.receive() == bytes) << bytes.size();
  for (const std::string& bytes : sent) target.answer(bytes);
  for (const std::string& bytes : sent) ASSERT_TRUE(client.receive() == bytes) << bytes.size();
}

// Protocol: datagrams-whole
TEST_P(Datagram, ThoseThatTheSenderJoinedAreApartAgain) {
  Peer client;
  Peer target;
  const auto relay = relays(target);
  client.send("first", listener(relay));
  EXPECT_EQ(target.receive(), "first");
  const std::string bytes = pattern(40'100, 1);
  const auto to = address_of(listener(relay));
  const net::udp::endpoint address(to.address(), to.port());
  const std::array<net::Datagrams, 1> joined{
      {{reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(), 1'000, {}}}};
  EXPECT_EQ(net::send_datagrams(client.socket(), joined, &address), bytes.size());
  for (std::size_t i = 0; i < 41; ++i) {
    const std::string got = target.receive();
    ASSERT_TRUE(got == bytes.substr(i * 1'000, 1'000)) << i << ": " << got.size();
  }
}

// Protocol: datagrams-answered
TEST_P(Datagram, AnswersGoToWhoAsked) {
  Peer target;
  const auto relay = relays(target);
  std::vector<Peer> clients(20);
  for (std::size_t i = 0; i < clients.size(); ++i)
    clients[i].send(std::to_string(i), listener(relay));
  for (std::size_t i = 0; i < clients.size(); ++i) target.answer("to " + target.receive());
  for (std::size_t i = 0; i < clients.size(); ++i)
    EXPECT_EQ(clients[i].receive(), "to " + std::to_string(i));
  EXPECT_EQ(relay->snapshot().connections_active, clients.size());
}

// Protocol: datagrams-and-connections
TEST_P(Datagram, ConnectionsAreTakenAtTheSamePort) {
  Peer client;
  const Target target;
  Peer datagrams(target.endpoint().port);
  const auto relay = relays(datagrams);
  Stream stream = stream_through(*relay, target);
  send_all(stream.client.get(), "stream");
  client.send("datagram", listener(relay));
  EXPECT_EQ(receive(stream.target.get(), 6).bytes, "stream");
  EXPECT_EQ(datagrams.receive(), "datagram");
}

// Protocol: flow-idle
TEST_P(Datagram, AFlowEndsWhenNothingMovesAndAnotherMayFollow) {
  Options impatient = options();
  impatient.flow_idle = 50ms;
  Peer client;
  Peer target;
  const auto relay = relays(target, impatient);
  const auto before = open_descriptors();
  for (std::uint64_t round = 1; round <= 3; ++round) {
    client.send("question", listener(relay));
    EXPECT_EQ(target.receive(), "question");
    EXPECT_TRUE(eventually([&] { return relay->snapshot().connections_active == 0; }));
    EXPECT_EQ(relay->snapshot().connections_total, round);
  }
  EXPECT_EQ(relay->snapshot().errors, 0U);
  EXPECT_TRUE(eventually([&] { return open_descriptors() <= before; }));
}

TEST_P(Datagram, ACutEndsFlowsAndFreesThePort) {
  Peer client;
  Peer target;
  const auto relay = relays(target);
  client.send("question", listener(relay));
  EXPECT_EQ(target.receive(), "question");
  const auto port = net::local_endpoint(listener(relay)).value();
  EXPECT_TRUE(comes(cut(*relay)));
  EXPECT_TRUE(net::bind_udp({port.address(), port.port()}));
  EXPECT_TRUE(net::bind_tcp(port));
}

TEST_P(Datagram, ADrainWaitsForFlowsToFallSilent) {
  Options impatient = options();
  impatient.flow_idle = 1s;
  Peer client;
  Peer stranger;
  Peer target;
  const auto relay = relays(target, impatient);
  client.send("question", listener(relay));
  EXPECT_EQ(target.receive(), "question");
  const auto drained = drain(*relay);
  stranger.send("too late", listener(relay));
  client.send("goes on", listener(relay));
  EXPECT_EQ(target.receive(), "goes on");
  target.answer("so it does");
  EXPECT_EQ(client.receive(), "so it does");
  EXPECT_TRUE(comes(drained));
}

TEST_P(Datagram, ACutEndsADrainThatWaitsForAFlow) {
  Peer client;
  Peer target;
  const auto relay = relays(target);
  client.send("question", listener(relay));
  EXPECT_EQ(target.receive(), "question");
  const auto drained = drain(*relay);
  const auto was_cut = cut(*relay);
  EXPECT_TRUE(comes(drained));
  EXPECT_TRUE(comes(was_cut));
  EXPECT_TRUE(comes(cut(*relay)));
}

TEST_P(Datagram, AnswersComeFromTheAddressThatWasAsked) {
  Peer client;
  Peer target;
  const Options any = options();
  const auto relay =
      must(Relay::open(threads_, {{{"0.0.0.0", 0}, target.endpoint()}}, any, null_logger()));
  const std::uint16_t port = relay->listeners()[0].port;
  for (const char* address : {"127.0.0.1", "127.0.0.77"}) {
    client.send("question", {address, port});
    EXPECT_EQ(target.receive(), "question");
    target.answer("answer");
    EXPECT_EQ(client.receive(), "answer");
    EXPECT_EQ(client.heard().host, address);
  }
}

TEST_P(Datagram, NoMoreFlowsAreOpenedThanAllowed) {
  Options few = options();
  few.most_flows = 2;
  few.flows = std::make_shared<std::atomic<std::size_t>>(0);
  few.flow_idle = 1s;
  Peer target;
  const auto relay = relays(target, few);
  std::vector<Peer> clients(3);
  for (std::size_t i = 0; i < 2; ++i) {
    clients[i].send("question", listener(relay));
    EXPECT_EQ(target.receive(), "question");
  }
  clients[2].send("one too many", listener(relay));
  EXPECT_TRUE(eventually([&] { return *few.flows == 0; }));
  EXPECT_EQ(relay->snapshot().connections_total, 2U);
  clients[2].send("again", listener(relay));
  EXPECT_EQ(target.receive(), "again");
}

TEST_P(Datagram, ABurstIsNotLostWhileTheOtherEndIsOpened) {
  Peer client;
  Peer target;
  const auto relay = relays(target);
  const std::string bytes = pattern(1'000, 1);
  constexpr int burst = 60;  // what the sockets of applications hold
  for (int i = 0; i < burst; ++i) client.send(bytes, listener(relay));
  for (int i = 0; i < burst; ++i) ASSERT_TRUE(target.receive() == bytes) << i;
}

TEST_P(Datagram, ATargetThatIsNotThereYetIsNoEnd) {
  Peer client;
  const net::Fd held = must(net::bind_tcp(address_of({"127.0.0.1", 0})));
  const Endpoint nobody = net::to_endpoint(must(net::bound_address(held.get())));
  const auto relay = std::string_view(GetParam()) == "plain"
                         ? plain(threads_, {nobody}, options())
                         : encrypted(threads_, {nobody}, options());
  client.send("lost", listener(relay));
  EXPECT_TRUE(eventually([&] { return relay->snapshot().bytes_to_target >= 4; }));
  Peer target(nobody.port);
  EXPECT_TRUE(eventually([&] {
    client.send("found", listener(relay));
    return target.receive(10ms) == "found";
  }));
}

// Protocol: rate-each-way
TEST_P(Datagram, AreNoFasterThanTheRate) {
  Peer client;
  Peer target;
  const auto relay = relays(target);
  client.send("first", listener(relay));
  EXPECT_EQ(target.receive(), "first");
  relay->set_rate(8 * bits_per_megabit);
  const auto start = clock::now();
  std::thread sender([&] {
    const std::string bytes(1'000, 'x');
    while (clock::now() < start + 300ms) client.send(bytes, listener(relay));
  });
  std::size_t bytes = 0;
  while (clock::now() < start + 300ms) {
    if (const std::string got = target.receive(10ms); got.size() == 1'000) bytes += got.size();
  }
  const std::chrono::duration<double> took = clock::now() - start;
  sender.join();
  EXPECT_GT(bytes, 0U);
  // 10 ms worth, and a read of as many datagrams as one call takes.
  EXPECT_LE(static_cast<double>(bytes), 1e6 * took.count() + 10'000 + 65'536);
}

// Protocol: datagrams-late
TEST_P(Datagram, OfWhoSendsTooFastAreLostRatherThanLate) {
  for (const bool back : {false, true}) {
    Peer client;
    Peer target;
    const auto relay = relays(target);
    for (Relay* each : {relay.consumer.get(), relay.producer.get()})
      if (each != nullptr) each->set_rate(8 * bits_per_megabit);
    client.send("first", listener(relay));
    EXPECT_EQ(target.receive(), "first");
    target.answer("answer");
    EXPECT_EQ(client.receive(), "answer");
    // Ten times the rate for half a second.
    std::string bytes(1'000, 'x');
    const auto start = clock::now();
    for (int sent = 0; sent < 5'000; ++sent) {
      if (back) {
        target.answer(bytes);
      } else {
        client.send(bytes, listener(relay));
      }
      std::this_thread::sleep_until(start + sent * 100us);
    }
    std::size_t came = 0;
    while ((back ? client : target).receive(200ms) != "nothing came") ++came;
    EXPECT_GT(came, 300U);
    // What was to come in half a second and what may wait, here and in sockets of applications.
    EXPECT_LT(came, 1'500U);
  }
}

INSTANTIATE_TEST_SUITE_P(Legs, Datagram, ::testing::Values("plain", "encrypted"),
                         [](const auto& leg) { return std::string(leg.param); });

using EncryptedDatagram = RelayFixture;

// Protocol: datagrams-encrypted
TEST_F(EncryptedDatagram, OfStrangersReachNobody) {
  Peer client;
  Peer stranger;
  Peer target;
  Options options;
  options.datagrams = true;
  const auto relays = encrypted(threads_, {target.endpoint()}, options);
  stranger.send("of a stranger", relays.producer->listeners()[0]);
  client.send("of the client", relays->listeners()[0]);
  EXPECT_EQ(target.receive(), "of the client");
  EXPECT_EQ(target.receive(20ms), "nothing came");
}

TEST_F(EncryptedDatagram, AreRefusedByARelayThatCarriesNone) {
  Peer client;
  Peer target;
  const Secret key = Secret::random(key_size);
  const auto producer = open(threads_, {target.endpoint()}, {}, tls(Side::accepted, ring_of(key)));
  Options options;
  options.datagrams = true;
  const auto consumer =
      open(threads_, producer->listeners(), options, tls(Side::dialled, ring_of(key)));
  client.send("question", consumer->listeners()[0]);
  EXPECT_TRUE(eventually([&] { return producer->snapshot().refused == 1; }));
  EXPECT_TRUE(eventually([&] { return consumer->snapshot().errors == 1; }));
}

TEST(DatagramFrames, AreFoundHoweverTheStreamIsCut) {
  std::vector<std::uint8_t> stream;
  std::vector<std::string> sent;
  for (const std::size_t size : {0U, 1U, 255U, 256U, 65'507U}) {
    sent.push_back(pattern(size, size));
    stream.push_back(static_cast<std::uint8_t>(size >> 8U));
    stream.push_back(static_cast<std::uint8_t>(size & 0xffU));
    stream.insert(stream.end(), sent.back().begin(), sent.back().end());
  }
  for (std::size_t end = 0; end <= stream.size(); end += end < 600 ? 1 : 997) {
    std::vector<net::Datagrams> found;
    const Frames frames = read_frames({stream.data(), end}, found);
    EXPECT_TRUE(frames.good);
    EXPECT_LE(frames.consumed, end);
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(std::string(reinterpret_cast<const char*>(found[i].data), found[i].size), sent[i]);
      bytes += frame_header + found[i].size;
    }
    EXPECT_EQ(bytes, frames.consumed);
  }
}

TEST(DatagramFrames, ALengthThatDoesNotOccurEndsThem) {
  const std::vector<std::uint8_t> stream{0, 1, 'x', 0xff, 0xff, 0};
  std::vector<net::Datagrams> found;
  const Frames frames = read_frames(stream, found);
  EXPECT_FALSE(frames.good);
  EXPECT_EQ(found.size(), 1U);
  EXPECT_EQ(frames.consumed, 3U);
}

}  // namespace
}  // namespace scistream::relay

// The record layer and the handshake against themselves, and against OpenSSL's own TLS.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <memory>
#include <numeric>
#include <optional>

#include "net/fd.hpp"
#include "net/tls_handshake.hpp"

namespace scistream::net {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Stream = RecordReader::Stream;

const std::vector<Ciphersuite> every_suite{Ciphersuite::aes_128_gcm, Ciphersuite::aes_256_gcm,
                                           Ciphersuite::chacha20_poly1305};

Bytes numbers(std::size_t size) {
  Bytes bytes(size);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  return bytes;
}

struct TwoEnds {
  Fd client;
  Fd server;
  TwoEnds() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    client.reset(ends[0]);
    server.reset(ends[1]);
  }
};

/// Lets both ends step until neither wants more; how each ended.
std::pair<TlsHandshake::Wants, TlsHandshake::Wants> run(TlsHandshake& client,
                                                        TlsHandshake& server) {
  using Wants = TlsHandshake::Wants;
  const auto over = [](Wants wants) { return wants == Wants::done || wants == Wants::failed; };
  auto a = Wants::read;
  auto b = Wants::read;
  for (int round = 0; round < 20 && !(over(a) && over(b)); ++round) {
    if (!over(a)) a = client.step();
    if (!over(b)) b = server.step();
  }
  return {a, b};
}

Bytes record_of(RecordWriter& writer, const Bytes& content,
                tls::ContentType type = tls::ContentType::application_data) {
  Bytes record(content.size() + tls::overhead);
  std::copy(content.begin(), content.end(), record.begin() + tls::header_size);
  EXPECT_EQ(writer.seal(record.data(), content.size(), type), record.size());
  return record;
}

Bytes joined(const std::vector<iovec>& pieces) {
  Bytes all;
  for (const iovec& piece : pieces) {
    const auto* bytes = static_cast<const std::uint8_t*>(piece.iov_base);
    all.insert(all.end(), bytes, bytes + piece.iov_len);
  }
  return all;
}

class Records : public ::testing::TestWithParam<Ciphersuite> {
 protected:
  Secret secret = Secret::random(digest_size(GetParam()));
  RecordWriter writer{RecordKey(GetParam(), secret, true)};
  RecordReader reader{RecordKey(GetParam(), secret, false)};

  RecordReader::Batch read(Bytes& bytes) {
    content.clear();
    return reader.read(bytes, content, 1024);
  }
  std::vector<iovec> content;
};

TEST_P(Records, ComeOutAsTheyWentIn) {
  Bytes stream;
  Bytes expected;
  for (const std::size_t size : {1U, 2U, 100U, 16383U, 16384U}) {
    const Bytes bytes = numbers(size);
    const Bytes record = record_of(writer, bytes);
    const bool readable =
        std::search(record.begin(), record.end(), bytes.begin(), bytes.end()) != record.end();
    EXPECT_FALSE(size >= 100 && readable);
    stream.insert(stream.end(), record.begin(), record.end());
    expected.insert(expected.end(), bytes.begin(), bytes.end());
  }
  const std::size_t whole = stream.size();
  const Bytes half = record_of(writer, numbers(50));
  stream.insert(stream.end(), half.begin(), half.end() - 1);
  const auto batch = read(stream);
  EXPECT_EQ(batch.stream, Stream::open);
  EXPECT_EQ(batch.consumed, whole) << "the incomplete one is left";
  EXPECT_EQ(joined(content), expected);
}

TEST_P(Records, NoMorePiecesThanAskedFor) {
  Bytes stream;
  for (int i = 0; i < 3; ++i) {
    const Bytes record = record_of(writer, {1, 2, 3});
    stream.insert(stream.end(), record.begin(), record.end());
  }
  const auto batch = reader.read(stream, content, 2);
  EXPECT_EQ(content.size(), 2U);
  EXPECT_EQ(batch.consumed, 2 * stream.size() / 3);
}

TEST_P(Records, AChangedBitAnywhereIsNoticed) {
  const Bytes record = record_of(writer, numbers(20));
  for (std::size_t byte = 0; byte < record.size(); ++byte) {
    RecordReader fresh{RecordKey(GetParam(), secret, false)};
    Bytes changed = record;
    changed[byte] ^= 1U;
    if (byte == 3) continue;  // a longer record, of which the rest has not come
    std::vector<iovec> out;
    const auto batch = fresh.read(changed, out, 8);
    const bool waits = batch.stream == Stream::open && batch.consumed == 0;
    EXPECT_TRUE(batch.stream == Stream::failed || waits) << byte;
    EXPECT_TRUE(out.empty()) << byte;
  }
}

TEST_P(Records, RepeatedLeftOutOrInAnotherOrderAreNoticed) {
  const Bytes first = record_of(writer, {1});
  const Bytes second = record_of(writer, {2});
  Bytes again = first;
  Bytes copy = first;
  EXPECT_EQ(read(copy).stream, Stream::open);
  EXPECT_EQ(read(again).alert, tls::Alert::bad_record_mac);
  RecordReader fresh{RecordKey(GetParam(), secret, false)};
  Bytes early = second;
  EXPECT_EQ(fresh.read(early, content, 8).stream, Stream::failed);
}

TEST_P(Records, CloseNotifyEndsTheStreamAndNothingElseDoes) {
  Bytes alert(RecordWriter::alert_size);
  writer.seal_alert(alert.data(), tls::Alert::close_notify);
  EXPECT_EQ(read(alert).stream, Stream::closed);
}

TEST_P(Records, AnyOtherAlertFails) {
  Bytes alert(RecordWriter::alert_size);
  writer.seal_alert(alert.data(), tls::Alert::bad_record_mac);
  const auto batch = read(alert);
  EXPECT_EQ(batch.stream, Stream::failed);
  EXPECT_NE(batch.why.find("20"), std::string::npos) << batch.why;
}

TEST_P(Records, AKeyUpdateChangesTheKeyOnBothSides) {
  for (int generation = 0; generation < 3; ++generation) {
    const Bytes before = record_of(writer, {1, 2});
    Bytes update(RecordWriter::key_update_size);
    writer.ask_key_update();
    EXPECT_TRUE(writer.wants_key_update());
    writer.seal_key_update(update.data());
    EXPECT_FALSE(writer.wants_key_update());
    EXPECT_EQ(writer.key().number(), 0U);
    const Bytes after = record_of(writer, {3});
    Bytes stream = before;
    stream.insert(stream.end(), update.begin(), update.end());
    stream.insert(stream.end(), after.begin(), after.end());
    EXPECT_EQ(read(stream).stream, Stream::open);
    EXPECT_EQ(joined(content), (Bytes{1, 2, 3}));
  }
}

TEST_P(Records, AKeyUpdateIsDueBeforeTheKeyIsWornOut) {
  RecordWriter old{RecordKey(GetParam(), secret, true, tls::most_records - 1)};
  EXPECT_FALSE(old.wants_key_update());
  (void)record_of(old, {1});
  EXPECT_TRUE(old.wants_key_update());
}

TEST_P(Records, ThePeerMayAskForAKeyUpdateInSeveralRecords) {
  const Bytes message{24, 0, 0, 1, 1};
  Bytes stream;
  for (const Bytes& part :
       {Bytes(message.begin(), message.begin() + 2), Bytes(message.begin() + 2, message.end())}) {
    const Bytes record = record_of(writer, part, tls::ContentType::handshake);
    stream.insert(stream.end(), record.begin(), record.end());
  }
  const auto batch = read(stream);
  EXPECT_EQ(batch.stream, Stream::open);
  EXPECT_TRUE(batch.key_update_requested);
}

TEST_P(Records, SessionTicketsAreIgnored) {
  Bytes ticket(4 + 100);
  ticket[0] = 4;
  ticket[3] = 100;
  Bytes record = record_of(writer, ticket, tls::ContentType::handshake);
  EXPECT_EQ(read(record).stream, Stream::open);
  Bytes data = record_of(writer, {7});
  EXPECT_EQ(read(data).stream, Stream::open);
  EXPECT_EQ(joined(content), Bytes{7});
}

TEST_P(Records, PaddingIsTakenOff) {
  // As another peer may send it: content, type, zeros.
  Bytes padded{5, 6, static_cast<std::uint8_t>(tls::ContentType::application_data), 0, 0, 0};
  Bytes record(tls::header_size + padded.size() + tls::tag_size);
  record[0] = 23;
  record[1] = record[2] = 3;
  record[4] = static_cast<std::uint8_t>(padded.size() + tls::tag_size);
  RecordKey key(GetParam(), secret, true);
  std::copy(padded.begin(), padded.end(), record.begin() + tls::header_size);
  key.seal({record.data(), tls::header_size}, {record.data() + tls::header_size, padded.size()},
           record.data() + tls::header_size + padded.size());
  EXPECT_EQ(read(record).stream, Stream::open);
  EXPECT_EQ(joined(content), (Bytes{5, 6}));
}

TEST_P(Records, ManyEmptyOnesAreRefused) {
  RecordReader::Batch batch;
  int taken = 0;
  while (batch.stream == Stream::open && taken < 1000) {
    Bytes record = record_of(writer, {});
    batch = read(record);
    ++taken;
  }
  EXPECT_EQ(batch.stream, Stream::failed);
  EXPECT_LT(taken, 100);
}

TEST_P(Records, OtherMessagesFail) {
  struct Case {
    Bytes content;
    tls::ContentType type;
  };
  for (const auto& [bytes, type] :
       {Case{{1, 0, 0, 0}, tls::ContentType::handshake},      // a second ClientHello
        Case{{24, 0, 0, 1, 2}, tls::ContentType::handshake},  // neither yes nor no
        Case{{24, 0, 0, 1, 0, 24, 0, 0, 1, 0}, tls::ContentType::handshake},
        Case{{4, 255, 255, 255}, tls::ContentType::handshake},  // 16 MB to come
        Case{{1}, tls::ContentType::alert}, Case{{}, tls::ContentType::alert},
        Case{{}, tls::ContentType::handshake},
        Case{{1}, static_cast<tls::ContentType>(20)},    // change_cipher_spec
        Case{{0}, static_cast<tls::ContentType>(0)}}) {  // nothing but zeros
    RecordWriter out{RecordKey(GetParam(), secret, true)};
    RecordReader in{RecordKey(GetParam(), secret, false)};
    Bytes record = record_of(out, bytes, type);
    content.clear();
    EXPECT_EQ(in.read(record, content, 8).stream, Stream::failed) << int(type);
    EXPECT_TRUE(content.empty());
  }
}

TEST_P(Records, AnInterruptedMessageFails) {
  Bytes stream = record_of(writer, {24, 0}, tls::ContentType::handshake);
  const Bytes data = record_of(writer, {1});
  stream.insert(stream.end(), data.begin(), data.end());
  EXPECT_EQ(read(stream).stream, Stream::failed);
}

INSTANTIATE_TEST_SUITE_P(Suites, Records, ::testing::ValuesIn(every_suite), [](const auto& suite) {
  std::string name(to_string(suite.param));
  std::erase(name, '-');
  return name;
});

TEST(ExpandLabel, IsThatOfTls13) {
  // RFC 8448, section 3: the server's application traffic secret, and its key and IV.
  const auto secret =
      Secret::from_hex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643", 32);
  EXPECT_EQ(expand_label(Ciphersuite::aes_128_gcm, *secret, "key", 16).hex(),
            "9f02283b6c9c07efc26bb9f2ac92e356");
  EXPECT_EQ(expand_label(Ciphersuite::aes_128_gcm, *secret, "iv", 12).hex(),
            "cf782b88dd83549aadf1e984");
}

TEST(Ciphersuites, AreKnownByBothNames) {
  const auto list = parse_ciphersuites("aes-256-gcm,TLS_AES_128_GCM_SHA256,AES-256-GCM");
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(*list, (std::vector{Ciphersuite::aes_256_gcm, Ciphersuite::aes_128_gcm}));
  for (const char* bad : {"", "AES", "AES-128-GCM,", "NULL-SHA256"}) {
    const auto none = parse_ciphersuites(bad);
    ASSERT_FALSE(none.ok()) << bad;
    EXPECT_NE(none.error().message.find("ChaCha20-Poly1305"), std::string::npos);
  }
}

/// A clock that a test moves.
class HandClock final : public Clock {
 public:
  [[nodiscard]] time_point now() const override { return now_; }
  void advance(duration step) { now_ += step; }

 private:
  time_point now_ = time_point(std::chrono::hours(1));
};

// Protocol: data-key-identity
TEST(KeyRing, IdentitiesNameAKeyAndShowNothing) {
  const Secret key = Secret::random(key_size);
  const auto first = pre_shared_key(key, Ciphersuite::aes_128_gcm);
  EXPECT_EQ(first.identity.size(), 32U);
  EXPECT_EQ(first.identity.find(key.hex().substr(0, 8)), std::string::npos);
  EXPECT_EQ(pre_shared_key(key, Ciphersuite::chacha20_poly1305).identity, first.identity);
  const auto other_hash = pre_shared_key(key, Ciphersuite::aes_256_gcm);
  EXPECT_NE(other_hash.identity, first.identity);
  EXPECT_FALSE(other_hash.key == first.key);
  EXPECT_EQ(other_hash.key.size(), 48U);
}

// Protocol: data-key-replaced
TEST(KeyRing, TheKeyBeforeIsValidForAMinute) {
  HandClock clock;
  KeyRing ring(every_suite, clock);
  EXPECT_FALSE(ring.present());
  const Secret old_key = Secret::random(key_size);
  const Secret new_key = Secret::random(key_size);
  const auto old_psk = pre_shared_key(old_key, Ciphersuite::aes_128_gcm);
  ring.replace(old_key);
  EXPECT_FALSE(ring.previous());
  ring.replace(new_key);
  ring.replace(new_key);  // a repeated update is not another generation
  EXPECT_EQ(ring.present()->key, new_key);
  EXPECT_EQ(ring.previous()->key, old_key);
  EXPECT_TRUE(ring.find(old_psk.identity));
  EXPECT_TRUE(ring.find(pre_shared_key(old_key, Ciphersuite::aes_256_gcm).identity));
  clock.advance(std::chrono::seconds(61));
  EXPECT_FALSE(ring.find(old_psk.identity));
  EXPECT_FALSE(ring.previous());
  EXPECT_TRUE(ring.find(pre_shared_key(new_key, Ciphersuite::aes_128_gcm).identity));
}

TEST(KeyRing, TheKeyBeforeIsDroppedOnceThePeerHasTheNext) {
  HandClock clock;
  KeyRing ring(every_suite, clock);
  const Secret old_key = Secret::random(key_size);
  const Secret new_key = Secret::random(key_size);
  ring.replace(old_key);
  ring.replace(new_key);
  const auto old_psk = pre_shared_key(old_key, Ciphersuite::aes_128_gcm);
  ring.used(old_psk.identity);
  EXPECT_TRUE(ring.find(old_psk.identity));
  ring.used(ring.present()->identity);
  EXPECT_FALSE(ring.find(old_psk.identity));
}

// Protocol: data-key-released
TEST(KeyRing, AReleasedKeyOpensNothing) {
  HandClock clock;
  KeyRing ring(every_suite, clock);
  ring.replace(Secret::random(key_size));
  const auto psk = *ring.present();
  ring.clear();
  EXPECT_FALSE(ring.find(psk.identity));
  EXPECT_FALSE(ring.present());
}

class Handshake : public ::testing::TestWithParam<Ciphersuite> {
 protected:
  void SetUp() override { std::signal(SIGPIPE, SIG_IGN); }

  TwoEnds ends;
  SteadyClock clock;
  TlsContext client_context{TlsRole::client, {GetParam()}};
  TlsContext server_context{TlsRole::server, every_suite};
  Secret key = Secret::random(key_size);
  KeyRing ring{every_suite, clock};

  TlsHandshake client(const Secret& with) {
    return TlsHandshake::client(client_context, ends.client.get(),
                                pre_shared_key(with, GetParam()));
  }
  TlsHandshake server() {
    return TlsHandshake::server(server_context, ends.server.get(),
                                [this](std::string_view identity) { return ring.find(identity); });
  }
};

TEST_P(Handshake, OfTwoEndsWithTheSameKeyGivesThemKeysForEachOther) {
  ring.replace(key);
  auto a = client(key);
  auto b = server();
  const auto [first, second] = run(a, b);
  ASSERT_EQ(first, TlsHandshake::Wants::done) << a.error();
  ASSERT_EQ(second, TlsHandshake::Wants::done) << b.error();
  EXPECT_EQ(b.identity(), a.identity());
  auto ours = a.take_keys();
  auto theirs = b.take_keys();
  EXPECT_EQ(ours.sending.suite(), GetParam());
  for (auto* pair : {&ours, &theirs}) {
    RecordWriter writer(std::move(pair->sending));
    RecordReader reader(std::move((pair == &ours ? theirs : ours).receiving));
    Bytes record = record_of(writer, {1, 2, 3});
    std::vector<iovec> content;
    EXPECT_EQ(reader.read(record, content, 8).stream, Stream::open);
    EXPECT_EQ(joined(content), (Bytes{1, 2, 3}));
  }
  char rest = 0;
  EXPECT_EQ(::recv(ends.client.get(), &rest, 1, MSG_DONTWAIT), -1) << "no ticket follows";
}

TEST_P(Handshake, WithAnotherKeyFailsAtBothEnds) {
  ring.replace(key);
  auto a = client(Secret::random(key_size));
  auto b = server();
  const auto [first, second] = run(a, b);
  EXPECT_EQ(first, TlsHandshake::Wants::failed);
  EXPECT_EQ(second, TlsHandshake::Wants::failed);
  EXPECT_TRUE(a.key_is_unknown()) << a.error();
  EXPECT_TRUE(b.key_is_unknown()) << b.error();
}

TEST_P(Handshake, WhoNamesTheKeyButHasItNotFails) {
  // The identity was seen on the wire; the key was not.
  ring.replace(key);
  auto stolen = pre_shared_key(key, GetParam());
  stolen.key = Secret::random(stolen.key.size());
  auto a = TlsHandshake::client(client_context, ends.client.get(), stolen);
  auto b = server();
  const auto [first, second] = run(a, b);
  EXPECT_EQ(first, TlsHandshake::Wants::failed);
  EXPECT_EQ(second, TlsHandshake::Wants::failed);
}

TEST_P(Handshake, AServerWithoutTheKeyConvincesNoClient) {
  ring.replace(Secret::random(key_size));
  const auto known = pre_shared_key(key, GetParam());
  auto a = client(key);
  auto b = TlsHandshake::server(server_context, ends.server.get(), [&](std::string_view) {
    auto wrong = known;
    wrong.key = Secret::random(wrong.key.size());
    return std::optional(wrong);
  });
  const auto [first, second] = run(a, b);
  EXPECT_EQ(first, TlsHandshake::Wants::failed);
  EXPECT_EQ(second, TlsHandshake::Wants::failed);
}

TEST_P(Handshake, OfAClientWithoutAnyKeyFails) {
  ring.replace(key);
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  SSL_CTX_free);
  const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
  SSL_set_fd(ssl.get(), ends.client.get());
  auto b = server();
  auto wants = TlsHandshake::Wants::read;
  int connected = 0;
  for (int round = 0; round < 10; ++round) {
    connected = SSL_connect(ssl.get());
    if (wants != TlsHandshake::Wants::failed) wants = b.step();
  }
  EXPECT_EQ(wants, TlsHandshake::Wants::failed);
  EXPECT_NE(connected, 1);
}

TEST_P(Handshake, OfGarbageFails) {
  ring.replace(key);
  const std::string_view garbage = "GET / HTTP/1.1\r\nHost: instrument\r\n\r\n";
  ASSERT_EQ(::send(ends.client.get(), garbage.data(), garbage.size(), 0),
            static_cast<ssize_t>(garbage.size()));
  auto b = server();
  EXPECT_EQ(b.step(), TlsHandshake::Wants::failed);
  EXPECT_FALSE(b.error().empty());
}

TEST_P(Handshake, APeerThatGoesAwayIsNoticed) {
  ring.replace(key);
  auto b = server();
  EXPECT_EQ(b.step(), TlsHandshake::Wants::read);
  ends.client.reset();
  EXPECT_EQ(b.step(), TlsHandshake::Wants::failed);
  EXPECT_EQ(b.error(), "the peer closed the connection");
}

INSTANTIATE_TEST_SUITE_P(Suites, Handshake, ::testing::ValuesIn(every_suite),
                         [](const auto& suite) {
                           std::string name(to_string(suite.param));
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace scistream::net

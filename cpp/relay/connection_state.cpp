#include "relay/connection_state.hpp"

#include <openssl/crypto.h>

#include <stdexcept>
#include <utility>

namespace scistream::relay {

namespace {

constexpr std::string_view magic = "scistream connection 1\n";
/// Of one field: more than any direction holds.
constexpr std::size_t most = 4U << 20U;

/// Bytes that are wiped; room for all of them from the start, for a vector that grows leaves
/// copies.
class Writer {
 public:
  explicit Writer(std::size_t size) { bytes_.reserve(size); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

  void number(std::uint64_t value) {
    for (int byte = 0; byte < 8; ++byte)
      bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * byte)));
  }
  void bytes(std::span<const std::uint8_t> value) {
    number(value.size());
    raw(value);
  }
  void raw(std::span<const std::uint8_t> value) {
    bytes_.insert(bytes_.end(), value.begin(), value.end());
  }
  void text(std::string_view value) {
    bytes({reinterpret_cast<const std::uint8_t*>(value.data()), value.size()});
  }
  [[nodiscard]] Secret take() const { return Secret(std::span<const std::uint8_t>(bytes_)); }

 private:
  std::vector<std::uint8_t> bytes_;
};

struct Malformed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

  std::span<const std::uint8_t> raw(std::size_t size) {
    if (size > rest_.size()) throw Malformed("it is cut short");
    const auto part = rest_.first(size);
    rest_ = rest_.subspan(size);
    return part;
  }
  std::uint64_t number(std::uint64_t limit = UINT64_MAX) {
    std::uint64_t value = 0;
    const auto part = raw(8);
    for (std::size_t byte = 0; byte < 8; ++byte) value |= std::uint64_t{part[byte]} << (8 * byte);
    if (value > limit) throw Malformed("a number is out of its range");
    return value;
  }
  bool flag() { return number(1) == 1; }
  std::span<const std::uint8_t> bytes(std::size_t limit = most) { return raw(number(limit)); }
  std::string text() {
    constexpr std::size_t longest = 1024;
    const auto part = bytes(longest);
    return {part.begin(), part.end()};
  }
  void end() const {
    if (!rest_.empty()) throw Malformed("something follows its end");
  }

 private:
  std::span<const std::uint8_t> rest_;
};

void put(Writer& to, const PumpState& pump) {
  to.number(pump.ended ? 1 : 0);
  to.number(pump.finishing ? 1 : 0);
  to.bytes(pump.transit.pending.bytes());
  to.number(pump.transit.content);
  to.bytes(pump.transit.unopened.bytes());
  to.number(pump.transit.closed ? 1 : 0);
}

PumpState get_pump(Reader& from) {
  PumpState pump;
  pump.ended = from.flag();
  pump.finishing = from.flag();
  pump.transit.pending = Secret(from.bytes());
  pump.transit.content = from.number(most);  // counted when the last of a batch has gone
  pump.transit.unopened = Secret(from.bytes());
  pump.transit.closed = from.flag();
  return pump;
}

void put(Writer& to, const net::RecordKey::State& key) {
  to.number(static_cast<std::uint64_t>(key.suite));
  to.bytes(key.traffic_secret.bytes());
  to.number(key.number);
}

net::RecordKey::State get_key(Reader& from) {
  net::RecordKey::State key;
  key.suite = static_cast<net::Ciphersuite>(
      from.number(static_cast<std::uint64_t>(net::Ciphersuite::chacha20_poly1305)));
  key.traffic_secret = Secret(from.bytes());
  if (key.traffic_secret.size() != net::digest_size(key.suite))
    throw Malformed("a secret is not of the size of its hash");
  key.number = from.number();
  return key;
}

std::size_t size_of(const PumpState& pump) {
  return pump.transit.pending.size() + pump.transit.unopened.size();
}

}  // namespace

Secret pack(const ConnectionState& state) {
  constexpr std::size_t enough_for_the_rest = 8192;
  std::size_t size = enough_for_the_rest + size_of(state.link.out) + size_of(state.link.in);
  if (state.link.keys) size += state.link.keys->receiving.message.size();
  Writer to(size);
  to.text(magic);
  to.number(state.listener);
  to.number(state.accepted_far ? 1 : 0);
  to.text(state.peer);
  to.text(state.target);
  to.number(state.bytes_to_client);
  to.number(state.bytes_to_target);
  put(to, state.link.out);
  put(to, state.link.in);
  to.number(state.link.keys ? 1 : 0);
  if (state.link.keys) {
    put(to, state.link.keys->sending.key);
    to.number(state.link.keys->sending.asked ? 1 : 0);
    put(to, state.link.keys->receiving.key);
    to.bytes(state.link.keys->receiving.message);
    to.number(state.link.keys->receiving.empty_records);
  }
  return to.take();
}

Result<ConnectionState> unpack(std::span<const std::uint8_t> bytes, net::Fd near, net::Fd link) {
  try {
    Reader from(bytes);
    if (from.text() != magic) throw Malformed("it is of another version");
    ConnectionState state;
    state.listener = from.number(UINT16_MAX);
    state.accepted_far = from.flag();
    state.peer = from.text();
    state.target = from.text();
    state.bytes_to_client = from.number();
    state.bytes_to_target = from.number();
    state.link.out = get_pump(from);
    state.link.in = get_pump(from);
    if (from.flag()) {
      LinkState::Keys keys;
      keys.sending.key = get_key(from);
      keys.sending.asked = from.flag();
      keys.receiving.key = get_key(from);
      const auto message = from.bytes();
      keys.receiving.message.assign(message.begin(), message.end());
      keys.receiving.empty_records = static_cast<unsigned>(from.number(UINT16_MAX));
      state.link.keys = std::move(keys);
    }
    from.end();
    state.near = std::move(near);
    state.link.socket = std::move(link);
    return state;
  } catch (const Malformed& why) {
    return Error{Cause::invalid_argument,
                 std::string("this is not the state of a connection: ") + why.what()};
  }
}

}  // namespace scistream::relay

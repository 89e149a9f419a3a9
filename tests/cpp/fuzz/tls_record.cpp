// What a peer that has the key, and one that has not, may send after the handshake, in pieces of
// any size; and the identities that it may name in the handshake.
#include "net/tls_record.hpp"

#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <vector>

#include "fuzz.hpp"
#include "net/tls_keys.hpp"

using namespace scistream;
using namespace scistream::net;

namespace {

using Bytes = std::vector<std::uint8_t>;

/// A record of any type and content, sealed as the peer would.
Bytes sealed(RecordKey& key, const Bytes& content, std::uint8_t type) {
  Bytes record(tls::header_size + content.size() + 1 + tls::tag_size);
  const std::size_t body = record.size() - tls::header_size;
  record[0] = 23;
  record[1] = record[2] = 3;
  record[3] = static_cast<std::uint8_t>(body >> 8U);
  record[4] = static_cast<std::uint8_t>(body & 0xffU);
  std::copy(content.begin(), content.end(), record.begin() + tls::header_size);
  record[tls::header_size + content.size()] = type;
  key.seal({record.data(), tls::header_size},
           {record.data() + tls::header_size, content.size() + 1},
           record.data() + record.size() - tls::tag_size);
  return record;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  static const Secret secret(std::string_view("0123456789abcdef0123456789abcdef"));
  static const SteadyClock clock;
  static KeyRing ring({Ciphersuite::aes_128_gcm}, clock);
  ring.replace(secret);
  const std::string identity = input.ConsumeRandomLengthString(64);
  require(!ring.find(identity) || identity == ring.present()->identity);

  RecordKey peer(Ciphersuite::aes_128_gcm, secret, true);
  RecordReader reader(RecordKey(Ciphersuite::aes_128_gcm, secret, false));
  Bytes stream;
  Bytes expected;
  bool honest = true;  // nothing but application data so far
  while (input.remaining_bytes() > 0 && stream.size() < (1U << 18U)) {
    const auto kind = input.ConsumeIntegralInRange(0, 4);
    if (kind == 0) {
      const auto raw = input.ConsumeBytes<std::uint8_t>(input.ConsumeIntegralInRange(0, 40));
      stream.insert(stream.end(), raw.begin(), raw.end());
      honest = honest && raw.empty();
      continue;
    }
    const auto content = input.ConsumeBytes<std::uint8_t>(input.ConsumeIntegralInRange(0, 300));
    const auto type = kind < 3 ? std::uint8_t{23} : input.ConsumeIntegral<std::uint8_t>();
    const Bytes record = sealed(peer, content, type);
    stream.insert(stream.end(), record.begin(), record.end());
    honest = honest && type == 23 && !content.empty();
    if (honest) expected.insert(expected.end(), content.begin(), content.end());
  }

  Bytes buffer;
  Bytes got;
  std::vector<iovec> pieces;
  auto state = RecordReader::Stream::open;
  for (std::size_t at = 0; at < stream.size() && state == RecordReader::Stream::open;) {
    const std::size_t part = std::min<std::size_t>(stream.size() - at, 1 + at % 700);
    buffer.insert(buffer.end(), stream.begin() + static_cast<std::ptrdiff_t>(at),
                  stream.begin() + static_cast<std::ptrdiff_t>(at + part));
    at += part;
    pieces.clear();
    const auto batch = reader.read(buffer, pieces, SIZE_MAX);
    require(batch.consumed <= buffer.size());
    state = batch.stream;
    if (state != RecordReader::Stream::failed) {
      for (const iovec& piece : pieces) {
        const auto* bytes = static_cast<const std::uint8_t*>(piece.iov_base);
        require(bytes >= buffer.data() && bytes + piece.iov_len <= buffer.data() + buffer.size());
        got.insert(got.end(), bytes, bytes + piece.iov_len);
      }
    }
    buffer.erase(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(batch.consumed));
  }
  // What an honest peer has sent before anything odd comes out as it was.
  require(state != RecordReader::Stream::open || got.size() >= expected.size());
  require(std::equal(
      got.begin(), got.begin() + static_cast<std::ptrdiff_t>(std::min(got.size(), expected.size())),
      expected.begin()));
  require(!honest || got == expected);
  return 0;
}

#include "net/tls_record.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace scistream::net {

namespace {

using tls::Alert;
using tls::ContentType;

constexpr std::uint8_t new_session_ticket = 4;
constexpr std::uint8_t key_update = 24;
/// Of a message after the handshake; the longest is a session ticket, which nobody here uses.
constexpr std::size_t most_message = 1U << 17U;
/// Records without content that a peer may send in a row: they cost more than they bring.
constexpr unsigned most_empty_records = 32;

/// Looked up once: that takes longer than setting a key.
const EVP_CIPHER* cipher(Ciphersuite suite) {
  using Cipher = std::unique_ptr<EVP_CIPHER, decltype(&EVP_CIPHER_free)>;
  const auto fetch = [](const char* name) {
    return Cipher(EVP_CIPHER_fetch(nullptr, name, nullptr), EVP_CIPHER_free);
  };
  static const Cipher aes_128 = fetch("AES-128-GCM");
  static const Cipher aes_256 = fetch("AES-256-GCM");
  static const Cipher chacha20 = fetch("ChaCha20-Poly1305");
  switch (suite) {
    case Ciphersuite::aes_128_gcm: return aes_128.get();
    case Ciphersuite::aes_256_gcm: return aes_256.get();
    case Ciphersuite::chacha20_poly1305: return chacha20.get();
  }
  return nullptr;
}

void require(int result) {
  if (result <= 0) throw std::runtime_error("OpenSSL cannot use the cipher of a data connection");
}

/// The header of a record whose sealed content, type and tag included, has this size.
void put_header(std::uint8_t* record, std::size_t sealed) {
  record[0] = static_cast<std::uint8_t>(ContentType::application_data);
  record[1] = 3;  // as every record since TLS 1.2
  record[2] = 3;
  record[3] = static_cast<std::uint8_t>(sealed >> 8U);
  record[4] = static_cast<std::uint8_t>(sealed & 0xffU);
}

}  // namespace

void RecordKey::Free::operator()(evp_cipher_ctx_st* context) const noexcept {
  EVP_CIPHER_CTX_free(context);  // wipes the key
}

RecordKey::RecordKey(Ciphersuite suite, Secret traffic_secret, bool sealing, std::uint64_t number)
    : suite_(suite),
      secret_(std::move(traffic_secret)),
      sealing_(sealing),
      number_(number),
      context_(EVP_CIPHER_CTX_new()) {
  if (!context_) throw std::bad_alloc();
  install();
}

RecordKey::RecordKey(RecordKey&&) noexcept = default;
RecordKey& RecordKey::operator=(RecordKey&&) noexcept = default;

RecordKey::~RecordKey() { OPENSSL_cleanse(iv_.data(), iv_.size()); }

void RecordKey::install() {
  const Secret key = expand_label(suite_, secret_, "key", key_size_of(suite_));
  const Secret iv = expand_label(suite_, secret_, "iv", iv_.size());
  std::copy(iv.bytes().begin(), iv.bytes().end(), iv_.begin());
  require(EVP_CipherInit_ex(context_.get(), cipher(suite_), nullptr, key.bytes().data(), nullptr,
                            sealing_ ? 1 : 0));
}

void RecordKey::update() {
  secret_ = expand_label(suite_, secret_, "traffic upd", digest_size(suite_));
  number_ = 0;
  install();
}

std::array<std::uint8_t, 12> RecordKey::nonce() const noexcept {
  auto nonce = iv_;
  for (std::size_t byte = 0; byte < 8; ++byte)
    nonce[11 - byte] ^= static_cast<std::uint8_t>(number_ >> (8 * byte));
  return nonce;
}

void RecordKey::seal(std::span<const std::uint8_t> header, std::span<std::uint8_t> content,
                     std::uint8_t* tag) {
  const auto iv = nonce();
  int size = 0;
  EVP_CIPHER_CTX* context = context_.get();
  require(EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, iv.data()));
  require(
      EVP_EncryptUpdate(context, nullptr, &size, header.data(), static_cast<int>(header.size())));
  require(EVP_EncryptUpdate(context, content.data(), &size, content.data(),
                            static_cast<int>(content.size())));
  require(EVP_EncryptFinal_ex(context, content.data() + size, &size));
  require(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, tls::tag_size, tag));
  ++number_;
}

bool RecordKey::open(std::span<const std::uint8_t> header, std::span<std::uint8_t> content,
                     const std::uint8_t* tag) {
  const auto iv = nonce();
  int size = 0;
  EVP_CIPHER_CTX* context = context_.get();
  require(EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, iv.data()));
  require(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, tls::tag_size,
                              const_cast<std::uint8_t*>(tag)));
  require(
      EVP_DecryptUpdate(context, nullptr, &size, header.data(), static_cast<int>(header.size())));
  require(EVP_DecryptUpdate(context, content.data(), &size, content.data(),
                            static_cast<int>(content.size())));
  if (EVP_DecryptFinal_ex(context, content.data() + size, &size) <= 0) return false;
  ++number_;
  return true;
}

std::size_t RecordWriter::seal(std::uint8_t* record, std::size_t size, ContentType type) {
  assert(size <= tls::most_content);
  const std::size_t sealed = size + 1 + tls::tag_size;
  put_header(record, sealed);
  std::uint8_t* content = record + tls::header_size;
  content[size] = static_cast<std::uint8_t>(type);
  key_.seal({record, tls::header_size}, {content, size + 1}, content + size + 1);
  return tls::header_size + sealed;
}

void RecordWriter::seal_alert(std::uint8_t* record, Alert alert) {
  constexpr std::uint8_t warning = 1;
  constexpr std::uint8_t fatal = 2;
  std::uint8_t* content = record + tls::header_size;
  content[0] = alert == Alert::close_notify ? warning : fatal;
  content[1] = static_cast<std::uint8_t>(alert);
  (void)seal(record, 2, ContentType::alert);
}

void RecordWriter::seal_key_update(std::uint8_t* record) {
  std::uint8_t* content = record + tls::header_size;
  const std::array<std::uint8_t, 5> message{key_update, 0, 0, 1, 0};  // none asked for in return
  std::copy(message.begin(), message.end(), content);
  (void)seal(record, message.size(), ContentType::handshake);
  key_.update();
  asked_ = false;
}

RecordReader::Batch RecordReader::read(std::span<std::uint8_t> bytes, std::vector<iovec>& content,
                                       std::size_t most) {
  Batch batch;
  const auto fail = [&batch](Alert alert, const char* why) {
    batch.stream = Stream::failed;
    batch.alert = alert;
    batch.why = why;
    return batch;
  };
  while (batch.stream == Stream::open && content.size() < most) {
    const auto rest = bytes.subspan(batch.consumed);
    if (rest.size() < tls::header_size) return batch;
    if (rest[0] != static_cast<std::uint8_t>(ContentType::application_data) || rest[1] != 3)
      return fail(Alert::unexpected_message, "what came is not a TLS record of this connection");
    const std::size_t sealed = std::size_t{rest[3]} << 8U | rest[4];
    if (sealed > tls::most_foreign_record - tls::header_size)
      return fail(Alert::record_overflow, "a TLS record is too long");
    if (sealed < 1 + tls::tag_size) return fail(Alert::bad_record_mac, "a TLS record is too short");
    if (rest.size() < tls::header_size + sealed) return batch;
    if (key_.number() == UINT64_MAX)
      return fail(Alert::unexpected_message, "the TLS record number is used up");

    const auto body = rest.subspan(tls::header_size, sealed - tls::tag_size);
    if (!key_.open(rest.first(tls::header_size), body, body.data() + body.size()))
      return fail(Alert::bad_record_mac, "a TLS record was changed on its way");
    std::size_t size = body.size();
    while (size > 0 && body[size - 1] == 0) --size;  // padding
    if (size == 0) return fail(Alert::unexpected_message, "a TLS record has no content type");
    const auto type = static_cast<ContentType>(body[--size]);
    if (size > tls::most_content) return fail(Alert::record_overflow, "a TLS record is too long");
    batch.consumed += tls::header_size + sealed;

    if (!message_.empty() && type != ContentType::handshake)
      return fail(Alert::unexpected_message, "a TLS message is interrupted");
    if (size == 0 && type != ContentType::application_data)
      return fail(Alert::unexpected_message, "an empty TLS message");
    if (size > 0 && type == ContentType::application_data) {
      empty_records_ = 0;
    } else if (++empty_records_ > most_empty_records) {
      return fail(Alert::unexpected_message, "too many TLS records without content");
    }
    switch (type) {
      case ContentType::application_data:
        if (size > 0) content.push_back({body.data(), size});
        break;
      case ContentType::alert: on_alert(body.first(size), batch); break;
      case ContentType::handshake: on_handshake(body.first(size), batch); break;
      default: return fail(Alert::unexpected_message, "a TLS record of an unknown type");
    }
  }
  return batch;
}

void RecordReader::on_alert(std::span<const std::uint8_t> content, Batch& batch) {
  const auto alert = content.size() == 2 ? static_cast<Alert>(content[1]) : Alert::decode_error;
  if (content.size() == 2 && alert == Alert::user_canceled) return;  // close_notify follows
  if (content.size() == 2 && alert == Alert::close_notify) {
    batch.stream = Stream::closed;
    return;
  }
  batch.stream = Stream::failed;
  batch.alert = content.size() == 2 ? Alert::close_notify : Alert::decode_error;
  batch.why = content.size() == 2 ? "the peer ended it with TLS alert " + std::to_string(content[1])
                                  : "a malformed TLS alert";
}

void RecordReader::on_handshake(std::span<const std::uint8_t> content, Batch& batch) {
  const auto fail = [&batch](Alert alert, const char* why) {
    batch.stream = Stream::failed;
    batch.alert = alert;
    batch.why = why;
  };
  message_.insert(message_.end(), content.begin(), content.end());
  constexpr std::size_t prefix = 4;  // type and length
  std::size_t done = 0;
  while (message_.size() - done >= prefix) {
    const std::uint8_t* message = message_.data() + done;
    const std::size_t size =
        std::size_t{message[1]} << 16U | std::size_t{message[2]} << 8U | message[3];
    if (size > most_message) return fail(Alert::decode_error, "a TLS message is too long");
    if (message_.size() - done < prefix + size) break;
    done += prefix + size;
    if (message[0] == new_session_ticket) continue;
    if (message[0] != key_update)
      return fail(Alert::unexpected_message, "a TLS message that has no place after the handshake");
    if (size != 1 || message[prefix] > 1)
      return fail(Alert::decode_error, "a malformed TLS key update");
    // Nothing may follow under the old key.
    if (done != message_.size())
      return fail(Alert::unexpected_message, "a TLS key update amid other messages");
    batch.key_update_requested |= message[prefix] == 1;
    key_.update();
  }
  message_.erase(message_.begin(), message_.begin() + static_cast<std::ptrdiff_t>(done));
  if (message_.empty()) message_.shrink_to_fit();
}

}  // namespace scistream::net

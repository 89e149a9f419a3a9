#include "base/secret.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace scistream {

namespace {

void fill_random(std::span<std::uint8_t> bytes) {
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    throw std::runtime_error("the operating system's random generator is not available");
  }
}

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

void wipe_bytes(void* bytes, std::size_t size) noexcept { OPENSSL_cleanse(bytes, size); }

bool is_one_word(std::string_view text) noexcept {
  constexpr std::size_t longest = 16'384;  // as our control servers take it
  return !text.empty() && text.size() <= longest &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

std::array<std::uint8_t, 32> sha256(std::string_view text) {
  std::array<std::uint8_t, 32> digest{};
  std::size_t size = 0;
  if (EVP_Q_digest(nullptr, "SHA256", nullptr, text.data(), text.size(), digest.data(), &size) != 1)
    throw std::runtime_error("OpenSSL offers no SHA-256");
  return digest;
}

Secret::Secret(std::span<const std::uint8_t> bytes) : bytes_(bytes.begin(), bytes.end()) {}

Secret::Secret(std::string_view bytes) : bytes_(bytes.begin(), bytes.end()) {}

Secret::Secret(Secret&& other) noexcept : bytes_(std::move(other.bytes_)) { other.bytes_.clear(); }

Secret& Secret::operator=(const Secret& other) {
  if (this != &other) {
    wipe();
    bytes_ = other.bytes_;
  }
  return *this;
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    wipe();
    bytes_ = std::move(other.bytes_);
    other.bytes_.clear();
  }
  return *this;
}

Secret::~Secret() { wipe(); }

void Secret::wipe() noexcept {
  wipe_bytes(bytes_.data(), bytes_.size());
  bytes_.clear();
}

Secret Secret::random(std::size_t size) {
  Secret secret;
  secret.bytes_.resize(size);
  fill_random(secret.bytes_);
  return secret;
}

Result<Secret> Secret::from_hex(std::string_view text, std::size_t size) {
  const Error error{Cause::invalid_argument,
                    "a key is " + std::to_string(2 * size) + " hexadecimal digits, not " +
                        std::to_string(text.size()) + " characters like these"};
  if (text.size() != 2 * size) return error;
  Secret secret;
  secret.bytes_.reserve(size);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]);
    const int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return error;
    secret.bytes_.push_back(static_cast<std::uint8_t>(high * 16 + low));
  }
  return secret;
}

std::string_view Secret::view() const noexcept {
  return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
}

std::string Secret::hex() const { return to_hex(bytes_); }

inline namespace v0 {

bool operator==(const Secret& a, const Secret& b) noexcept {
  return equal_in_constant_time(a.view(), b.view());
}

}  // namespace v0

bool equal_in_constant_time(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::array<std::uint8_t, 32> hmac_sha256(const Secret& key, std::span<const std::string> parts) {
  const std::unique_ptr<EVP_MAC, decltype(&EVP_MAC_free)> mac(
      EVP_MAC_fetch(nullptr, "HMAC", nullptr), &EVP_MAC_free);
  const std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)> context(
      EVP_MAC_CTX_new(mac.get()), &EVP_MAC_CTX_free);
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0),
                                   OSSL_PARAM_construct_end()};
  bool good =
      context && EVP_MAC_init(context.get(), key.bytes().data(), key.size(), parameters) == 1;
  for (const std::string& part : parts) {
    std::array<std::uint8_t, 8> length{};
    for (std::size_t i = 0; i < length.size(); ++i) {
      length[i] = static_cast<std::uint8_t>(part.size() >> (8 * (7 - i)));
    }
    good = good && EVP_MAC_update(context.get(), length.data(), length.size()) == 1 &&
           EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(part.data()),
                          part.size()) == 1;
  }
  std::array<std::uint8_t, 32> code{};
  std::size_t written = 0;
  if (!good || EVP_MAC_final(context.get(), code.data(), &written, code.size()) != 1 ||
      written != code.size()) {
    throw std::runtime_error("OpenSSL offers no HMAC-SHA256");
  }
  return code;
}

std::string to_hex(std::span<const std::uint8_t> bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    text += digits[byte >> 4U];
    text += digits[byte & 15U];
  }
  return text;
}

std::string v0::random_uid() {
  std::array<std::uint8_t, 16> bytes{};
  fill_random(bytes);
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0fU) | 0x40U);  // version 4, RFC 9562
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3fU) | 0x80U);  // variant 10
  std::string text = to_hex(bytes);
  for (const std::size_t at : {8U, 13U, 18U, 23U}) text.insert(at, 1, '-');
  return text;
}

}  // namespace scistream

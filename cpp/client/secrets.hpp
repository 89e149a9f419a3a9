#pragma once

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace scistream::client {

/// Forgets a text that holds a secret on the way out. Must not outlive it.
class Wiped {
 public:
  explicit Wiped(std::string& text) : text_(text) {}
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  ~Wiped() { OPENSSL_cleanse(text_.data(), text_.size()); }

 private:
  std::string& text_;
};

/// Throws std::runtime_error if OpenSSL has none.
inline std::array<std::uint8_t, 32> sha256(std::string_view text) {
  std::array<std::uint8_t, 32> digest{};
  std::size_t size = 0;
  if (EVP_Q_digest(nullptr, "SHA256", nullptr, text.data(), text.size(), digest.data(), &size) != 1)
    throw std::runtime_error("OpenSSL offers no SHA-256");
  return digest;
}

/// What a provider or a file gives as a token, a code or a client's secret: it goes into a header
/// or a form, so it is one word of ASCII.
inline bool is_one_word(std::string_view text) {
  constexpr std::size_t longest = 16'384;  // as our control servers take it
  if (text.empty() || text.size() > longest) return false;
  for (const char c : text)
    if (c <= ' ' || c >= '\x7f') return false;
  return true;
}

}  // namespace scistream::client

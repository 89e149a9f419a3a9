#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "scistream/secret.hpp"

namespace scistream {

/// Overwrites memory in a way that no compiler leaves out.
void wipe_bytes(void* bytes, std::size_t size) noexcept;

/// Forgets, on the way out, the text or bytes of others that hold a secret. Must not outlive them.
template <class Bytes>
class Wiped {
 public:
  explicit Wiped(Bytes& bytes) : bytes_(bytes) {}
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  ~Wiped() { wipe_bytes(bytes_.data(), bytes_.size()); }

 private:
  Bytes& bytes_;
};

/// Whether a text may be a token, a code or a client's secret: it goes into a header or a form, so
/// it is one word of ASCII.
bool is_one_word(std::string_view text) noexcept;

/// Throws std::runtime_error if OpenSSL has none.
std::array<std::uint8_t, 32> sha256(std::string_view text);

/// Equal length and content, in time that depends only on the length.
bool equal_in_constant_time(std::string_view a, std::string_view b) noexcept;

/// HMAC-SHA256 over `parts`, each preceded by its length as 8 big-endian bytes, so that no two
/// different lists give the same input.
std::array<std::uint8_t, 32> hmac_sha256(const Secret& key, std::span<const std::string> parts);

/// Lower-case hexadecimal digits of `bytes`.
std::string to_hex(std::span<const std::uint8_t> bytes);

}  // namespace scistream

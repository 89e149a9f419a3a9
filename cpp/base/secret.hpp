#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace scistream {

/// Overwrites memory in a way that no compiler leaves out.
void wipe_bytes(void* bytes, std::size_t size) noexcept;

/// Key material. Owns its bytes and wipes them when it dies; prints nothing, compares in constant
/// time. Not thread-safe; copy it across threads.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::span<const std::uint8_t> bytes);
  explicit Secret(std::string_view bytes);
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept;
  Secret& operator=(const Secret& other);
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  /// `size` bytes from the operating system's generator. Throws std::runtime_error if it has none.
  static Secret random(std::size_t size);

  /// From 2 × `size` hexadecimal digits; the error never repeats the text.
  static Result<Secret> from_hex(std::string_view text, std::size_t size);

  [[nodiscard]] std::span<const std::uint8_t> bytes() const noexcept { return bytes_; }
  /// The raw bytes as the text type of Protobuf `bytes` fields.
  [[nodiscard]] std::string_view view() const noexcept;
  [[nodiscard]] std::string hex() const;
  [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }

  friend bool operator==(const Secret& a, const Secret& b) noexcept;

 private:
  void wipe() noexcept;
  std::vector<std::uint8_t> bytes_;
};

/// Bytes of the keys this project makes: data connection keys and application keys.
inline constexpr std::size_t key_size = 32;

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

/// A random (version 4) UUID from the operating system's generator, with dashes.
std::string random_uid();

}  // namespace scistream

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "scistream/error.hpp"
#include "scistream/export.hpp"

namespace scistream::inline v0 {

/// Key material. Owns its bytes and wipes them when it dies; prints nothing, compares in constant
/// time. Not thread-safe; copy it across threads.
class SCISTREAM_EXPORT Secret {
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
  /// The raw bytes as a text.
  [[nodiscard]] std::string_view view() const noexcept;
  [[nodiscard]] std::string hex() const;
  [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }

  SCISTREAM_EXPORT friend bool operator==(const Secret& a, const Secret& b) noexcept;

 private:
  void wipe() noexcept;
  std::vector<std::uint8_t> bytes_;
};

/// Bytes of the keys this project makes: data connection keys and application keys.
inline constexpr std::size_t key_size = 32;

/// A random (version 4) UUID from the operating system's generator, with dashes.
SCISTREAM_EXPORT std::string random_uid();

}  // namespace scistream::inline v0

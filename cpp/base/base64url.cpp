#include "base/base64url.hpp"

namespace scistream {

namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr unsigned bits = 6;
constexpr unsigned byte_bits = 8;

}  // namespace

std::string base64url(std::span<const std::uint8_t> bytes) {
  std::string text;
  text.reserve((bytes.size() * byte_bits + bits - 1) / bits);
  std::uint32_t held = 0;
  unsigned count = 0;
  for (const std::uint8_t byte : bytes) {
    held = held << byte_bits | byte;
    for (count += byte_bits; count >= bits; count -= bits)
      text += alphabet[held >> (count - bits) & 63U];
  }
  if (count > 0) text += alphabet[held << (bits - count) & 63U];
  return text;
}

std::optional<std::string> from_base64url(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() * bits / byte_bits);
  std::uint32_t held = 0;
  unsigned count = 0;
  for (const char c : text) {
    const auto value = alphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    held = held << bits | static_cast<std::uint32_t>(value);
    count += bits;
    if (count < byte_bits) continue;
    count -= byte_bits;
    bytes += static_cast<char>(held >> count & 255U);
  }
  // What is left is too little for a byte, and empty.
  if (count >= bits || (held & ((1U << count) - 1)) != 0) return std::nullopt;
  return bytes;
}

}  // namespace scistream

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace scistream {

/// Base64 with the URL alphabet, without padding (RFC 4648, section 5).
std::string base64url(std::span<const std::uint8_t> bytes);

/// The bytes of such a text; nothing if it is none: padding, white space, characters of the other
/// alphabet and bits that no encoder leaves are refused, so that a value has one spelling only.
std::optional<std::string> from_base64url(std::string_view text);

}  // namespace scistream

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/secret.hpp"

namespace scistream {

/// Bytes of the keys that texts are sealed with.
inline constexpr std::size_t sealing_key_size = 32;

/// A text as it may lie where others can read it: AES-256-GCM under `key`, with a random nonce in
/// front (NIST SP 800-38D), in letters of base64url. `context` says what it is for, and is not in
/// it: a sealed text that is put into another one's place does not open there. Any thread. Throws
/// std::runtime_error if OpenSSL has no such cipher, std::invalid_argument for a key of another
/// size.
std::string seal(const Secret& key, std::string_view context, std::string_view text);

/// Nothing if it was sealed with another key, for another context, or not at all.
std::optional<Secret> unseal(const Secret& key, std::string_view context, std::string_view sealed);

}  // namespace scistream

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/secret.hpp"

namespace scistream::net {

/// The AEADs of TLS 1.3 that a data connection may use (RFC 8446, B.4).
enum class Ciphersuite { aes_128_gcm, aes_256_gcm, chacha20_poly1305 };

/// `AES-128-GCM`, …
std::string_view to_string(Ciphersuite suite) noexcept;
/// As TLS names it: `TLS_AES_128_GCM_SHA256`, …
std::string_view tls_name(Ciphersuite suite) noexcept;
/// A comma list of either kind of name, any case, in order of preference; `invalid_argument` lists
/// the known ones.
Result<std::vector<Ciphersuite>> parse_ciphersuites(std::string_view text);
/// The suite of a TLS name; `invalid_argument` if it is none of ours.
Result<Ciphersuite> ciphersuite(std::string_view tls_name);

/// The hash a suite belongs to, as OpenSSL names it.
const char* digest_name(Ciphersuite suite) noexcept;
std::size_t digest_size(Ciphersuite suite) noexcept;
std::size_t key_size_of(Ciphersuite suite) noexcept;

/// HKDF (RFC 5869), extract and expand, without salt. Throws std::runtime_error if the library
/// has no HKDF.
Secret hkdf(const char* digest, const Secret& key, std::string_view info, std::size_t size);
/// HKDF-Expand-Label of TLS 1.3 with an empty context (RFC 8446, 7.1).
Secret expand_label(Ciphersuite suite, const Secret& secret, std::string_view label,
                    std::size_t size);

}  // namespace scistream::net

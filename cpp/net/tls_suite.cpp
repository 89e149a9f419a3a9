#include "net/tls_suite.hpp"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>
#include <stdexcept>

namespace scistream::net {

namespace {

struct Facts {
  Ciphersuite suite;
  std::string_view name;
  std::string_view tls_name;
  const char* digest;
  std::size_t digest_size;
  std::size_t key_size;
};

constexpr std::array<Facts, 3> suites{{
    {Ciphersuite::aes_128_gcm, "AES-128-GCM", "TLS_AES_128_GCM_SHA256", "SHA256", 32, 16},
    {Ciphersuite::aes_256_gcm, "AES-256-GCM", "TLS_AES_256_GCM_SHA384", "SHA384", 48, 32},
    {Ciphersuite::chacha20_poly1305, "ChaCha20-Poly1305", "TLS_CHACHA20_POLY1305_SHA256", "SHA256",
     32, 32},
}};

const Facts& facts(Ciphersuite suite) { return suites.at(static_cast<std::size_t>(suite)); }

bool equal_without_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

Secret derive(const char* digest, int mode, const Secret& key, std::string_view info,
              std::size_t size) {
  // Looked up once: that takes longer than deriving a key.
  static const std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> kdf(
      EVP_KDF_fetch(nullptr, "HKDF", nullptr), EVP_KDF_free);
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(
      kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr, EVP_KDF_CTX_free);
  const auto bytes = key.bytes();
  std::array<OSSL_PARAM, 5> parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char*>(digest), 0),
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<std::uint8_t*>(bytes.data()),
                                        bytes.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, const_cast<char*>(info.data()),
                                        info.size()),
      OSSL_PARAM_construct_end()};
  std::array<std::uint8_t, 64> out{};
  if (size > out.size() || !context ||
      EVP_KDF_derive(context.get(), out.data(), size, parameters.data()) != 1) {
    throw std::runtime_error("OpenSSL cannot derive a key: HKDF is not available");
  }
  Secret derived(std::span<const std::uint8_t>(out).first(size));
  OPENSSL_cleanse(out.data(), out.size());
  return derived;
}

}  // namespace

std::string_view to_string(Ciphersuite suite) noexcept { return facts(suite).name; }
std::string_view tls_name(Ciphersuite suite) noexcept { return facts(suite).tls_name; }
const char* digest_name(Ciphersuite suite) noexcept { return facts(suite).digest; }
std::size_t digest_size(Ciphersuite suite) noexcept { return facts(suite).digest_size; }
std::size_t key_size_of(Ciphersuite suite) noexcept { return facts(suite).key_size; }

Result<Ciphersuite> ciphersuite(std::string_view name) {
  for (const Facts& known : suites) {
    if (equal_without_case(name, known.name) || equal_without_case(name, known.tls_name))
      return known.suite;
  }
  std::string known;
  for (const Facts& each : suites) known += (known.empty() ? "" : ", ") + std::string(each.name);
  return Error{Cause::invalid_argument,
               "cipher suite '" + std::string(name) + "' is not known; known: " + known};
}

Result<std::vector<Ciphersuite>> parse_ciphersuites(std::string_view text) {
  std::vector<Ciphersuite> list;
  for (;;) {
    const auto comma = text.find(',');
    const auto suite = ciphersuite(text.substr(0, comma));
    if (!suite) return suite.error();
    if (std::find(list.begin(), list.end(), *suite) == list.end()) list.push_back(*suite);
    if (comma == std::string_view::npos) return list;
    text.remove_prefix(comma + 1);
  }
}

Secret hkdf(const char* digest, const Secret& key, std::string_view info, std::size_t size) {
  return derive(digest, EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND, key, info, size);
}

Secret expand_label(Ciphersuite suite, const Secret& secret, std::string_view label,
                    std::size_t size) {
  std::string info{static_cast<char>(size >> 8U), static_cast<char>(size & 0xffU)};
  const std::string full = "tls13 " + std::string(label);
  info += static_cast<char>(full.size());
  info += full;
  info += '\0';
  return derive(digest_name(suite), EVP_KDF_HKDF_MODE_EXPAND_ONLY, secret, info, size);
}

}  // namespace scistream::net

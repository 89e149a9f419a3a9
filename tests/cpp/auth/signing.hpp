#pragma once

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/base64url.hpp"

namespace scistream::auth::test {

using nlohmann::json;

inline std::string encoded(const std::string& bytes) {
  return base64url({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

/// An issuer's key pair, as a test needs it.
class Signer {
 public:
  static Signer rsa(unsigned bits = 2048) { return Signer(EVP_RSA_gen(bits)); }
  static Signer p256() { return Signer(EVP_EC_gen("P-256")); }

  /// Its public half, as an issuer publishes it.
  [[nodiscard]] json published(const std::string& id) const {
    if (is_rsa()) {
      return {{"kty", "RSA"},
              {"kid", id},
              {"use", "sig"},
              {"n", number(OSSL_PKEY_PARAM_RSA_N, 0)},
              {"e", number(OSSL_PKEY_PARAM_RSA_E, 0)}};
    }
    return {{"kty", "EC"},
            {"crv", "P-256"},
            {"kid", id},
            {"x", number(OSSL_PKEY_PARAM_EC_PUB_X, 32)},
            {"y", number(OSSL_PKEY_PARAM_EC_PUB_Y, 32)}};
  }

  /// A token with that header and those claims.
  [[nodiscard]] std::string token(const json& header, const json& claims) const {
    return token(header, claims.dump());
  }
  /// And with claims that need not be JSON.
  [[nodiscard]] std::string token(const json& header, const std::string& claims) const {
    const std::string text = encoded(header.dump()) + "." + encoded(claims);
    return text + "." + encoded(signature(text, header.value("alg", "")));
  }

 private:
  explicit Signer(EVP_PKEY* key) : key_(key, EVP_PKEY_free) {}

  [[nodiscard]] bool is_rsa() const { return EVP_PKEY_get_base_id(key_.get()) == EVP_PKEY_RSA; }

  [[nodiscard]] std::string number(const char* name, int size) const {
    BIGNUM* value = nullptr;
    EVP_PKEY_get_bn_param(key_.get(), name, &value);
    std::string bytes(static_cast<std::size_t>(size > 0 ? size : BN_num_bytes(value)), '\0');
    BN_bn2binpad(value, reinterpret_cast<unsigned char*>(bytes.data()),
                 static_cast<int>(bytes.size()));
    BN_free(value);
    return encoded(bytes);
  }

  [[nodiscard]] std::string signature(const std::string& text, const std::string& how) const {
    const EVP_MD* digest = how == "RS512" ? EVP_sha512() : EVP_sha256();
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                          EVP_MD_CTX_free);
    EVP_DigestSignInit(context.get(), nullptr, digest, nullptr, key_.get());
    std::size_t size = 0;
    const auto* const bytes = reinterpret_cast<const unsigned char*>(text.data());
    EVP_DigestSign(context.get(), nullptr, &size, bytes, text.size());
    std::vector<unsigned char> made(size);
    EVP_DigestSign(context.get(), made.data(), &size, bytes, text.size());
    made.resize(size);
    if (is_rsa()) return {made.begin(), made.end()};
    const unsigned char* at = made.data();
    ECDSA_SIG* both = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size));
    std::string raw(64, '\0');
    auto* const out = reinterpret_cast<unsigned char*>(raw.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(both), out, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(both), out + 32, 32);
    ECDSA_SIG_free(both);
    return raw;
  }

  std::shared_ptr<EVP_PKEY> key_;
};

}  // namespace scistream::auth::test

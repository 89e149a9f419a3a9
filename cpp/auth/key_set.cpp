#include "auth/key_set.hpp"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "auth/claims.hpp"
#include "base/base64url.hpp"
#include "net/openssl_free.hpp"

namespace scistream::auth {

namespace {

using nlohmann::json;

constexpr std::size_t most_keys = 100;
constexpr int most_of_one_id = 4;
constexpr int least_rsa_bits = 2048;
/// What one check may cost is bounded.
constexpr int most_rsa_bits = 4096;
constexpr std::size_t p256_size = 32;

struct Name {
  Signature signature;
  std::string_view name;
};
constexpr std::array names{Name{Signature::rs256, "RS256"}, Name{Signature::rs512, "RS512"},
                           Name{Signature::es256, "ES256"}};

using Number = std::unique_ptr<BIGNUM, net::OpensslFree<BN_free>>;
using Builder = std::unique_ptr<OSSL_PARAM_BLD, net::OpensslFree<OSSL_PARAM_BLD_free>>;
using Parameters = std::unique_ptr<OSSL_PARAM, net::OpensslFree<OSSL_PARAM_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, net::OpensslFree<EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, net::OpensslFree<EVP_MD_CTX_free>>;
using EcSignature = std::unique_ptr<ECDSA_SIG, net::OpensslFree<ECDSA_SIG_free>>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::optional<std::string> bytes(const json& object, const char* member) {
  const auto decoded = from_base64url(text_in(object, member));
  return decoded && !decoded->empty() ? decoded : std::nullopt;
}

Number number(std::string_view big_endian) {
  return Number(BN_bin2bn(bytes_of(big_endian), static_cast<int>(big_endian.size()), nullptr));
}

std::shared_ptr<EVP_PKEY> build(const char* kind, const Builder& builder) {
  const Parameters parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, kind, nullptr));
  EVP_PKEY* key = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1)
    return nullptr;
  return {key, EVP_PKEY_free};
}

std::shared_ptr<EVP_PKEY> rsa_key(const json& object) {
  const auto modulus = bytes(object, "n");
  const auto exponent = bytes(object, "e");
  if (!modulus || !exponent || modulus->size() > most_rsa_bits / 8 ||
      exponent->size() > sizeof(std::uint64_t))
    return nullptr;
  const Number n = number(*modulus);
  const Number e = number(*exponent);
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!n || !e || !builder || BN_num_bits(n.get()) < least_rsa_bits || BN_is_odd(n.get()) == 0 ||
      BN_is_odd(e.get()) == 0 || BN_is_one(e.get()) == 1)
    return nullptr;
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  return build("RSA", builder);
}

std::shared_ptr<EVP_PKEY> p256_key(const json& object) {
  const auto x = bytes(object, "x");
  const auto y = bytes(object, "y");
  if (text_in(object, "crv") != "P-256" || !x || !y || x->size() != p256_size ||
      y->size() != p256_size)
    return nullptr;
  constexpr char uncompressed = 4;
  const std::string point = uncompressed + *x + *y;
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!builder) return nullptr;
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                   point.size());
  auto key = build("EC", builder);
  if (!key) return nullptr;
  // That the point is one of the curve.
  const KeyContext check(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  return check && EVP_PKEY_public_check(check.get()) == 1 ? key : nullptr;
}

/// A key of the document; nothing if it is of no use here.
std::optional<KeySet::Key> key_in(const json& object) {
  if (!object.is_object()) return std::nullopt;
  if (object.contains("use") && text_in(object, "use") != "sig") return std::nullopt;
  KeySet::Key found;
  found.id = text_in(object, "kid");
  const std::string kind = text_in(object, "kty");
  if (kind == "RSA") {
    found.key = rsa_key(object);
    found.signatures = {Signature::rs256, Signature::rs512};
  } else if (kind == "EC") {
    found.key = p256_key(object);
    found.signatures = {Signature::es256};
  }
  if (!found.key) return std::nullopt;
  if (object.contains("alg")) {
    const std::string only = text_in(object, "alg");
    std::erase_if(found.signatures, [&only](Signature each) { return to_string(each) != only; });
  }
  return found.signatures.empty() ? std::nullopt : std::optional(std::move(found));
}

/// Of the two numbers one behind the other, what OpenSSL wants.
std::optional<std::vector<unsigned char>> der(std::string_view signature) {
  if (signature.size() != 2 * p256_size) return std::nullopt;
  const EcSignature both(ECDSA_SIG_new());
  Number r = number(signature.substr(0, p256_size));
  Number s = number(signature.substr(p256_size));
  if (!both || !r || !s || ECDSA_SIG_set0(both.get(), r.get(), s.get()) != 1) return std::nullopt;
  (void)r.release();
  (void)s.release();
  unsigned char* encoded = nullptr;
  const int size = i2d_ECDSA_SIG(both.get(), &encoded);
  if (size <= 0) return std::nullopt;
  std::vector<unsigned char> found(encoded, encoded + size);
  OPENSSL_free(encoded);
  return found;
}

}  // namespace

std::string_view to_string(Signature signature) noexcept {
  for (const Name& each : names)
    if (each.signature == signature) return each.name;
  return "";
}

Result<Signature> parse_signature(std::string_view name) {
  for (const Name& each : names)
    if (each.name == name) return each.signature;
  // The name is the caller's, and may be anything.
  return Error{Cause::unauthenticated,
               "the token is not signed with RS256, RS512 or ES256, which are those accepted"};
}

Result<KeySet> KeySet::parse(std::string_view document) {
  const json parsed = json::parse(document, nullptr, false);
  const auto keys = parsed.is_object() ? parsed.find("keys") : parsed.end();
  if (!parsed.is_object() || keys == parsed.end() || !keys->is_array())
    return Error{Cause::unavailable, "the issuer's document of keys has no list of keys"};
  KeySet found;
  for (const json& each : *keys) {
    if (found.keys_.size() == most_keys) break;
    auto key = key_in(each);
    if (!key) continue;
    const auto same = std::count_if(found.keys_.begin(), found.keys_.end(),
                                    [&key](const Key& other) { return other.id == key->id; });
    if (same < most_of_one_id) found.keys_.push_back(std::move(*key));
  }
  return found;
}

std::vector<const KeySet::Key*> KeySet::find(std::string_view id, Signature signature) const {
  std::vector<const Key*> found;
  for (const Key& each : keys_) {
    const bool can = std::find(each.signatures.begin(), each.signatures.end(), signature) !=
                     each.signatures.end();
    if (can && (id.empty() || each.id == id)) found.push_back(&each);
  }
  return found;
}

bool is_signed(std::string_view text, std::string_view signature, Signature how,
               const KeySet::Key& key) {
  const bool elliptic = how == Signature::es256;
  std::vector<unsigned char> bytes(signature.begin(), signature.end());
  if (elliptic) {
    auto encoded = der(signature);
    if (!encoded) return false;
    bytes = std::move(*encoded);
  }
  const EVP_MD* digest = how == Signature::rs512 ? EVP_sha512() : EVP_sha256();
  const DigestContext context(EVP_MD_CTX_new());
  return context &&
         EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key.key.get()) == 1 &&
         EVP_DigestVerify(context.get(), bytes.data(), bytes.size(), bytes_of(text), text.size()) ==
             1;
}

}  // namespace scistream::auth

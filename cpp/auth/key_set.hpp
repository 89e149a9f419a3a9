#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

struct evp_pkey_st;

namespace scistream::auth {

/// How a token may be signed (RFC 7518, section 3.1): with public keys only, so that whoever can
/// check a token cannot make one.
enum class Signature { rs256, rs512, es256 };

/// `RS256`, …
std::string_view to_string(Signature signature) noexcept;
/// The signature of that name, exactly; `unauthenticated` lists those accepted.
Result<Signature> parse_signature(std::string_view name);

/// The public keys of an issuer (RFC 7517). Immutable; any thread.
class KeySet {
 public:
  struct Key {
    std::string id;  ///< May be empty.
    /// What it may have signed.
    std::vector<Signature> signatures;
    std::shared_ptr<evp_pkey_st> key;
  };

  KeySet() = default;
  /// From a JSON document `{"keys": [...]}`. Keys of kinds that are not accepted, weak ones
  /// (RSA below 2048 bits) and those for encryption are left out. `unavailable` if the document is
  /// none, since it is the issuer's.
  static Result<KeySet> parse(std::string_view document);

  /// Those that can have signed so; of one id only, unless that is empty.
  [[nodiscard]] std::vector<const Key*> find(std::string_view id, Signature signature) const;
  [[nodiscard]] std::size_t size() const noexcept { return keys_.size(); }

 private:
  std::vector<Key> keys_;
};

/// Whether `signature` is one of `text` by that key, as RFC 7518 lays it out.
bool is_signed(std::string_view text, std::string_view signature, Signature how,
               const KeySet::Key& key);

}  // namespace scistream::auth

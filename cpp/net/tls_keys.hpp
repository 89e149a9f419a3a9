#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/secret.hpp"
#include "net/tls_suite.hpp"

namespace scistream::net {

/// A pre-shared key as the two ends of a data connection use it. The identity travels in clear: it
/// is derived from the key, names its generation and shows nothing of it.
struct PreSharedKey {
  Ciphersuite suite = Ciphersuite::aes_128_gcm;  ///< The key belongs to the hash of this suite.
  std::string identity;                          ///< 32 hexadecimal digits.
  Secret key;
};

/// What a data key of `key_size` bytes is for suites of this hash (RFC 8446, 4.2.11: a pre-shared
/// key is used with one hash only): the key itself for SHA-256, one derived from it for SHA-384.
PreSharedKey pre_shared_key(const Secret& data_key, Ciphersuite suite);

/// The data keys that open a session's connections: the present one and, for a while after a
/// change, the one before. Thread-safe.
class KeyRing {
 public:
  /// After a change the other end may not have heard of it for so long.
  static constexpr std::chrono::seconds overlap{60};

  /// `suites` are those that this end accepts, in order of preference; not empty.
  KeyRing(std::vector<Ciphersuite> suites, const Clock& clock);

  /// The key from now on. The same as before changes nothing.
  void replace(const Secret& data_key);
  /// No key opens anything any more.
  void clear();

  /// To connect with: the present key; nothing if there is none.
  [[nodiscard]] std::optional<PreSharedKey> present() const;
  /// The one before, while it is valid.
  [[nodiscard]] std::optional<PreSharedKey> previous() const;
  /// To connect with, one after the other until the peer knows it: it may accept suites of another
  /// hash only, or have the key before still.
  [[nodiscard]] std::vector<PreSharedKey> offers() const;
  /// The key of an identity that a peer names, if it is valid.
  [[nodiscard]] std::optional<PreSharedKey> find(std::string_view identity) const;
  /// A connection was made with this identity, which is offered first from now on. Once it is the
  /// present key's, the peer has that, and the one before is dropped.
  void used(std::string_view identity);

  [[nodiscard]] const std::vector<Ciphersuite>& suites() const noexcept { return suites_; }

 private:
  using Generation = std::vector<PreSharedKey>;  ///< One for each hash of the suites.

  [[nodiscard]] bool previous_is_valid() const;

  const std::vector<Ciphersuite> suites_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  Secret key_;
  Generation present_;
  Generation previous_;
  Clock::time_point previous_until_;
};

}  // namespace scistream::net

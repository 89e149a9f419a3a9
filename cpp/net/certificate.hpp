#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace scistream::net {

/// A certificate and its private key, both PEM.
struct CertificateAndKey {
  std::string certificate;
  std::string key;
};

/// A self-signed server certificate (ECDSA P-256, 10 years) whose subject alternative names are
/// `hosts`: numeric addresses become iPAddress entries, others dNSName entries.
Result<CertificateAndKey> make_self_signed(const std::vector<std::string>& hosts);

/// SHA-256 of the first certificate in `pem`, as upper-case hexadecimal pairs with colons.
/// `invalid_argument` if there is none.
Result<std::string> fingerprint(const std::string& pem);

/// Whether `pem` holds a certificate and no second one.
bool is_one_certificate(const std::string& pem);

/// What a user is shown of the first certificate in `pem`.
struct CertificateFacts {
  std::string fingerprint;         ///< As fingerprint() says it.
  std::vector<std::string> names;  ///< Hosts and numeric addresses that it is for, fit to show.
  std::chrono::system_clock::time_point begins;
  std::chrono::system_clock::time_point expires;
};
Result<CertificateFacts> facts_of(const std::string& pem);

/// Whether the first certificate in `pem` is good for `host`, and belongs to `key` (PEM).
/// The error names what does not fit and the names the certificate has.
Status check_certificate(const std::string& pem, const std::string& key);
bool certificate_covers(const std::string& pem, const std::string& host);

/// A certificate and the key that belongs to it, from two files; the error names both.
Result<CertificateAndKey> read_certificate(const std::filesystem::path& certificate,
                                           const std::filesystem::path& key);

}  // namespace scistream::net

#include "net/certificate.hpp"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>
#include <memory>
#include <span>
#include <string_view>

#include "base/file.hpp"
#include "base/secret.hpp"
#include "net/openssl_free.hpp"

namespace scistream::net {

namespace {

using Certificate = std::unique_ptr<X509, OpensslFree<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using Bio = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;

bool is_address(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool add_extension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  const bool added = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

Bio reading(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

constexpr int most_names = 100;

/// A name as it may be shown: a server can write into its certificate what it likes.
std::string shown(std::string_view name) {
  constexpr std::size_t longest = 255;
  std::string text(name.substr(0, longest));
  for (char& c : text)
    if (c <= ' ' || c > '~') c = '?';
  return text;
}

/// Of what is no time, 1970.
std::chrono::system_clock::time_point time_of(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  // Those without an end say the year 9999, which is more than the clock can tell.
  constexpr std::time_t last = 9'000'000'000;
  return std::chrono::system_clock::from_time_t(std::clamp(::timegm(&parts), std::time_t(0), last));
}

Certificate first_certificate(const std::string& pem) {
  return Certificate(PEM_read_bio_X509(reading(pem).get(), nullptr, nullptr, nullptr));
}

}  // namespace

Result<CertificateAndKey> make_self_signed(const std::vector<std::string>& hosts) {
  const Error failed{Cause::failure, "OpenSSL could not make a certificate"};
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  if (!key || !certificate) return failed;

  std::array<std::uint8_t, 16> serial{};
  if (RAND_bytes(serial.data(), serial.size()) != 1) return failed;
  serial[0] &= 0x7fU;  // positive, RFC 5280 §4.1.2.2
  BIGNUM* number = BN_bin2bn(serial.data(), serial.size(), nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);

  constexpr long day = 24L * 3600;
  X509_set_version(certificate.get(), X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -day);  // clocks of two sites differ
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3650 * day);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("SciStream control server"), -1,
                             -1, 0);
  X509_set_issuer_name(certificate.get(), name);

  std::string names;
  for (const std::string& host : hosts) {
    names += (names.empty() ? "" : ",") + std::string(is_address(host) ? "IP:" : "DNS:") + host;
  }
  // Not an authority: whoever trusts this certificate trusts this server and nothing else.
  const bool good = add_extension(certificate.get(), NID_basic_constraints, "critical,CA:FALSE") &&
                    add_extension(certificate.get(), NID_key_usage, "critical,digitalSignature") &&
                    add_extension(certificate.get(), NID_ext_key_usage, "serverAuth") &&
                    add_extension(certificate.get(), NID_subject_alt_name, names) &&
                    X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0;
  const Bio certificate_text(BIO_new(BIO_s_mem()));
  const Bio key_text(BIO_new(BIO_s_secmem()));
  if (!good || PEM_write_bio_X509(certificate_text.get(), certificate.get()) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                    nullptr) != 1) {
    return failed;
  }
  return CertificateAndKey{text_of(certificate_text.get()), text_of(key_text.get())};
}

Result<std::string> fingerprint(const std::string& pem) {
  const Certificate certificate = first_certificate(pem);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (!certificate || X509_digest(certificate.get(), EVP_sha256(), digest.data(), &size) != 1) {
    return Error{Cause::invalid_argument, "this is no PEM certificate"};
  }
  const std::string hex = to_hex(std::span<const std::uint8_t>(digest.data(), size));
  std::string text;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    if (i > 0) text += ':';
    for (const char c : hex.substr(i, 2)) text += c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return text;
}

bool is_one_certificate(const std::string& pem) {
  const Bio text = reading(pem);
  const auto read = [&text] {
    return Certificate(PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr));
  };
  const bool first = read() != nullptr;
  return first && !read();
}

Result<CertificateFacts> facts_of(const std::string& pem) {
  auto print = fingerprint(pem);
  if (!print) return print.error();
  const Certificate certificate = first_certificate(pem);
  CertificateFacts facts;
  facts.fingerprint = std::move(*print);
  facts.begins = time_of(X509_get0_notBefore(certificate.get()));
  facts.expires = time_of(X509_get0_notAfter(certificate.get()));
  const std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>> names(
      static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  const int count = std::min(sk_GENERAL_NAME_num(names.get()), most_names);
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
    const ASN1_STRING* value = name->type == GEN_DNS ? name->d.dNSName : name->d.iPAddress;
    const unsigned char* data = ASN1_STRING_get0_data(value);
    const auto size = static_cast<std::size_t>(ASN1_STRING_length(value));
    if (name->type == GEN_DNS) {
      facts.names.push_back(shown({reinterpret_cast<const char*>(data), size}));
      continue;
    }
    std::array<char, INET6_ADDRSTRLEN> text{};
    const int family = size == sizeof(in_addr) ? AF_INET : AF_INET6;
    if (size == sizeof(in_addr) || size == sizeof(in6_addr))
      facts.names.emplace_back(::inet_ntop(family, data, text.data(), text.size()));
  }
  return facts;
}

Status check_certificate(const std::string& pem, const std::string& key) {
  const Certificate certificate = first_certificate(pem);
  if (!certificate)
    return Error{Cause::invalid_argument, "the certificate file holds no PEM certificate"};
  const Key private_key(PEM_read_bio_PrivateKey(reading(key).get(), nullptr, nullptr, nullptr));
  if (!private_key) return Error{Cause::invalid_argument, "the key file holds no PEM private key"};
  if (X509_check_private_key(certificate.get(), private_key.get()) != 1) {
    return Error{Cause::invalid_argument, "the private key does not belong to the certificate"};
  }
  if (X509_cmp_current_time(X509_get0_notAfter(certificate.get())) < 0) {
    return Error{Cause::invalid_argument, "the certificate has expired"};
  }
  return {};
}

Result<CertificateAndKey> read_certificate(const std::filesystem::path& certificate,
                                           const std::filesystem::path& key) {
  auto certificate_text = read_file(certificate);
  if (!certificate_text) return certificate_text.error();
  auto key_text = read_file(key);
  if (!key_text) return key_text.error();
  if (auto status = check_certificate(*certificate_text, *key_text); !status) {
    return Error{status.error().cause, "'" + certificate.string() + "' and '" + key.string() +
                                           "': " + status.error().message};
  }
  return CertificateAndKey{std::move(*certificate_text), std::move(*key_text)};
}

bool certificate_covers(const std::string& pem, const std::string& host) {
  const Certificate certificate = first_certificate(pem);
  if (!certificate) return false;
  return is_address(host)
             ? X509_check_ip_asc(certificate.get(), host.c_str(), 0) == 1
             : X509_check_host(certificate.get(), host.data(), host.size(), 0, nullptr) == 1;
}

}  // namespace scistream::net

#include "net/authorities.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <filesystem>

#include "base/text.hpp"

namespace scistream::net {

namespace {

/// One file with all, of Debian, Fedora and their families, openSUSE, older Red Hats, Alpine.
constexpr std::array bundles{
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

bool is_there(const std::string& path) {
  std::error_code none;
  if (path.empty() || !std::filesystem::exists(path, none)) return false;
  return !std::filesystem::is_directory(path, none) || !std::filesystem::is_empty(path, none);
}

}  // namespace

bool trust_system(ssl_ctx_st* context) {
  const auto place = [](const char* variable, const char* otherwise) {
    const std::string given = environment_variable(variable);
    return given.empty() ? std::string(otherwise) : given;
  };
  const bool is_usual =
      is_there(place(X509_get_default_cert_file_env(), X509_get_default_cert_file())) ||
      is_there(place(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()));
  if (is_usual) return SSL_CTX_set_default_verify_paths(context) == 1;
  for (const char* bundle : bundles) {
    if (is_there(bundle) && SSL_CTX_load_verify_file(context, bundle) == 1) return true;
  }
  ERR_clear_error();
  return false;
}

}  // namespace scistream::net

#include "control/serving_certificate.hpp"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <utility>

#include "base/endpoint.hpp"
#include "base/file.hpp"
#include "control/server_identity.hpp"

namespace scistream::control {

namespace {

constexpr unsigned look_every_seconds = 1;

Result<std::string> authority_in(const std::filesystem::path& path) {
  if (path.empty()) return std::string();
  auto text = read_file(path);
  if (!text) return text.error();
  if (!net::fingerprint(*text)) {
    return Error{Cause::invalid_argument,
                 "--client-ca '" + path.string() + "' holds no PEM certificate"};
  }
  return text;
}

}  // namespace

ServingCertificate::ServingCertificate(Sources sources, Logger log)
    : sources_(std::move(sources)),
      log_(std::move(log)),
      served_(sources_.state_directory / "serving.pem"),
      served_ca_(sources_.state_directory / "serving-ca.pem") {}

ServingCertificate::~ServingCertificate() {
  std::error_code ignored;
  std::filesystem::remove(served_, ignored);
  std::filesystem::remove(served_ca_, ignored);
}

Result<std::unique_ptr<ServingCertificate>> ServingCertificate::make(Sources sources, Logger log) {
  std::unique_ptr<ServingCertificate> made(
      new ServingCertificate(std::move(sources), std::move(log)));
  if (const auto loaded = made->refresh(); !loaded) return loaded.error();
  return made;
}

Result<bool> ServingCertificate::refresh() {
  const std::lock_guard lock(mutex_);
  auto identity = server_identity(sources_.certificate, sources_.key, sources_.state_directory,
                                  sources_.hosts, log_);
  if (!identity) return identity.error();
  auto client_ca = authority_in(sources_.client_ca);
  if (!client_ca) return client_ca.error();
  const bool is_same = identity->certificate == identity_.certificate &&
                       identity->key == identity_.key && *client_ca == client_ca_;
  if (is_same) return false;
  auto print = net::fingerprint(identity->certificate);
  if (!print) return print.error();
  // gRPC reads files, at a moment of its own choice: only whole pairs are there to be read.
  if (Status kept = write_private_file(served_, identity->key + "\n" + identity->certificate);
      !kept)
    return kept.error();
  if (!client_ca->empty()) {
    if (Status kept = write_private_file(served_ca_, *client_ca); !kept) return kept.error();
  }
  for (const std::string& host : sources_.hosts) {
    if (is_wildcard(host) || net::certificate_covers(identity->certificate, host)) continue;
    log_->warn(
        "the certificate is not for '{}', by which this server is reached: users will refuse "
        "it there",
        host);
  }
  identity_ = std::move(*identity);
  client_ca_ = std::move(*client_ca);
  fingerprint_ = std::move(*print);
  return true;
}

std::shared_ptr<grpc::ServerCredentials> ServingCertificate::credentials() const {
  const std::lock_guard lock(mutex_);
  const bool asks = !client_ca_.empty();
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          served_.string(), served_.string(), asks ? served_ca_.string() : std::string(),
          look_every_seconds));
  options.watch_identity_key_cert_pairs();
  if (asks) {
    options.watch_root_certs();
    // Who has none may show a token.
    options.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

std::string ServingCertificate::fingerprint() const {
  const std::lock_guard lock(mutex_);
  return fingerprint_;
}

std::string ServingCertificate::certificate() const {
  const std::lock_guard lock(mutex_);
  return identity_.certificate;
}

}  // namespace scistream::control

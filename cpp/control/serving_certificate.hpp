#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/log.hpp"
#include "control/grpc.hpp"
#include "net/certificate.hpp"

namespace scistream::control {

/// The certificate that a control server shows, which may change while it serves: new connections
/// get the new one, and those that are open stay. Any thread.
class ServingCertificate {
 public:
  struct Sources {
    std::filesystem::path certificate;  ///< With key; empty: the working folder's, else our own.
    std::filesystem::path key;
    std::filesystem::path client_ca;  ///< Authority of clients; empty: none is asked for.
    std::filesystem::path state_directory;
    std::vector<std::string> hosts;  ///< That our own is for.
  };

  /// Errors name the file that is not good.
  static Result<std::unique_ptr<ServingCertificate>> make(Sources sources, Logger log);
  /// Removes what it wrote.
  ~ServingCertificate();
  ServingCertificate(const ServingCertificate&) = delete;
  ServingCertificate& operator=(const ServingCertificate&) = delete;

  /// Looks whether the files have changed, or our own is about to expire. What is not good is not
  /// taken, and what was shown before goes on being shown. Whether there is something new.
  Result<bool> refresh();

  /// That follow every refresh within a second or two.
  [[nodiscard]] std::shared_ptr<grpc::ServerCredentials> credentials() const;
  [[nodiscard]] std::string fingerprint() const;
  [[nodiscard]] std::string certificate() const;  ///< PEM.

 private:
  ServingCertificate(Sources sources, Logger log);

  const Sources sources_;
  const Logger log_;
  const std::filesystem::path served_;  ///< Certificate and key in one file, replaced in one step.
  const std::filesystem::path served_ca_;
  mutable std::mutex mutex_;
  net::CertificateAndKey identity_;
  std::string client_ca_;
  std::string fingerprint_;
};

}  // namespace scistream::control

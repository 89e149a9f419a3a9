#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "net/certificate.hpp"

namespace scistream::control {

/// The certificate a control server shows: the one given, else `server.crt` and `server.key` of the
/// working folder, else its own in the state folder, made on first use for every local address and
/// name and made again when one of `hosts` is not on it or it has expired.
Result<net::CertificateAndKey> server_identity(const std::filesystem::path& certificate,
                                               const std::filesystem::path& key,
                                               const std::filesystem::path& state_directory,
                                               const std::vector<std::string>& hosts,
                                               const Logger& log);

}  // namespace scistream::control

#pragma once

#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "base/secret.hpp"

namespace scistream::client {

/// The certificates a client trusts, PEM: the file given (one or several certificates), else
/// `server.crt` of the working folder, else `pinned.pem` of the state folder, else empty, which
/// means the system's authorities (PROTOCOL §7, Certificates).
Result<std::string> trusted_certificates(const std::filesystem::path& server_cert,
                                         const std::filesystem::path& state_directory);

/// A file with 64 hexadecimal digits, readable by its owner alone.
Result<Secret> read_key_file(const std::filesystem::path& path);

}  // namespace scistream::client

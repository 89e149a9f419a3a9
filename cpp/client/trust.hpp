#pragma once

#include <filesystem>
#include <string>

#include "base/endpoint.hpp"
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

/// Whether keys may be sent to these control servers: only where they cannot be read on the way
/// (PROTOCOL §7, Transport); else failed_precondition with what to do.
Status keys_may_travel(bool tls, const Endpoint& prod, const Endpoint& cons);

}  // namespace scistream::client

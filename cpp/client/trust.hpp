#pragma once

#include <filesystem>
#include <string>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "base/secret.hpp"

namespace scistream::client {

/// Whom a client trusts.
struct Trust {
  std::string roots;  ///< PEM; empty: the system's authorities.
  /// Servers that are pinned (Pins) are trusted by their pin, and by nothing else.
  bool pins = false;
};

/// The file given (one or several certificates), else `server.crt` of the working folder; else
/// pinned certificates, and for the rest `pinned.pem` of the state folder or the system's
/// authorities (PROTOCOL §7, Certificates).
Result<Trust> trust_of(const std::filesystem::path& server_cert,
                       const std::filesystem::path& state_directory);

/// A file with 64 hexadecimal digits, readable by its owner alone.
Result<Secret> read_key_file(const std::filesystem::path& path);

/// Whether keys may be sent to these control servers: only where they cannot be read on the way
/// (PROTOCOL §7, Transport); else failed_precondition with what to do.
Status keys_may_travel(bool tls, const Endpoint& prod, const Endpoint& cons);

}  // namespace scistream::client

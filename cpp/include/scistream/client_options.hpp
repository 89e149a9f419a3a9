#pragma once

#include <filesystem>
#include <string>

#include "scistream/secret.hpp"

namespace scistream::inline v0 {

/// How a client reaches control servers. What is left empty is as the commands have it.
struct ClientOptions {
  bool tls = true;    ///< Whether the control servers speak TLS.
  std::string roots;  ///< Certificates to trust, PEM, one or several.
  /// The same as a file. With neither: `server.crt` of the working folder, else the pinned ones of
  /// the state folder, else the system's authorities.
  std::filesystem::path server_cert;
  /// Access token for every server. Empty: `SCISTREAM_TOKEN`, or the login of each server
  /// (`s2uc login`), if there is one.
  Secret token;
  /// Where sessions are remembered, for `s2uc list`, `status` and `release`. Empty: the folder that
  /// the commands use.
  std::filesystem::path state_dir;
  /// Certificate to show to servers, PEM file, where they know users by one.
  std::filesystem::path client_cert;
  std::filesystem::path client_key;  ///< Its private key, PEM file that only its owner can read.
};

}  // namespace scistream::inline v0

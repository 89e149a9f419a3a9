#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "bindings/errors.hpp"
#include "client/session_options.hpp"

namespace scistream::bindings {

/// How a client of this process reaches control servers; raises where that contradicts itself.
inline client::ClientOptions client_options(bool tls, std::string roots,
                                            std::filesystem::path server_cert, std::string token,
                                            std::filesystem::path state_directory,
                                            std::filesystem::path certificate,
                                            std::filesystem::path key) {
  return value_or_raise(
      client::client_options({tls, std::move(roots), std::move(server_cert), std::move(token),
                              std::move(state_directory), std::move(certificate), std::move(key)}));
}

}  // namespace scistream::bindings

#pragma once

#include <string>

#include "base/endpoint.hpp"
#include "base/error.hpp"

namespace scistream::client {

/// The error of a server, which its message names.
inline Error named(const Endpoint& server, Error error) {
  const std::string name = to_string(server);
  if (error.message.find(name) == std::string::npos) error.message = name + ": " + error.message;
  return error;
}

}  // namespace scistream::client

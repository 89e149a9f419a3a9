#pragma once

#include <mutex>

#include "control/grpc_log.hpp"

namespace scistream::sdk {

/// Before each first use of gRPC: it is to write nothing into the terminal of a user's program.
inline void about_to_use_grpc() {
  static std::once_flag once;  // a process has one gRPC
  std::call_once(once, control::keep_grpc_quiet);
}

}  // namespace scistream::sdk

#pragma once

#include <memory>

#include "proxy/program.hpp"

namespace scistream::proxy {

/// HAProxy as a process: moves bytes by splice, has its targets changed and its counters read over
/// its runtime socket. `not_found` if it is not installed.
Result<std::unique_ptr<Program>> haproxy();

}  // namespace scistream::proxy

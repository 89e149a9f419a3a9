#pragma once

#include <memory>

#include "proxy/program.hpp"

namespace scistream::proxy {

/// Nginx's stream module as a process: has its targets changed by a reload that leaves live
/// connections to the workers that have them, and is counted by its log and the kernel.
/// `not_found` if it, or the module, is not installed.
Result<std::unique_ptr<Program>> nginx();

}  // namespace scistream::proxy

#pragma once

#include <string_view>

#include "scistream/error.hpp"

namespace scistream {

/// `{cause, "<what>: <strerror(errnum)>"}`; descriptor and memory shortage become `exhausted`,
/// refused and unreachable peers `unavailable`.
Error errno_error(std::string_view what, int errnum);

}  // namespace scistream

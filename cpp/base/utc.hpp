#pragma once

#include <chrono>
#include <string>

namespace scistream {

/// A time in UTC, as strftime(3) has it; at most 63 characters.
std::string in_utc(std::chrono::system_clock::time_point when, const char* format);

}  // namespace scistream

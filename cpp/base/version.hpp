#pragma once

#include <string_view>

namespace scistream {

/// The project's version, as CMakeLists.txt states it.
std::string_view version() noexcept;

}  // namespace scistream

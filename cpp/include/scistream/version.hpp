#pragma once

#include <string_view>

#include "scistream/export.hpp"

namespace scistream::inline v0 {

/// The project's version, as CMakeLists.txt states it.
SCISTREAM_EXPORT std::string_view version() noexcept;

}  // namespace scistream::inline v0

#include "scistream/version.hpp"

namespace scistream {

std::string_view version() noexcept { return SCISTREAM_VERSION; }

}  // namespace scistream

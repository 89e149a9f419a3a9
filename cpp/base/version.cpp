#include "scistream/version.hpp"

namespace scistream {

std::string_view v0::version() noexcept { return SCISTREAM_VERSION; }

}  // namespace scistream

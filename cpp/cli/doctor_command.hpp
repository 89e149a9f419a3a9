#pragma once

#include <string>

#include "base/error.hpp"
#include "cli/client_settings.hpp"

namespace scistream::cli {

/// `s2uc doctor HOST:PORT`: looks at all that it takes to use a control server, one thing after the
/// other, and shows what is good, and of the first that is not, the remedy. The error is that of
/// the first that is not good.
Status examine_server(const std::string& server, ClientSettings& settings);

}  // namespace scistream::cli

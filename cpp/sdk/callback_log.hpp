#pragma once

#include "base/log.hpp"
#include "scistream/log.hpp"

namespace scistream::sdk {

/// A logger that hands its lines to a user's callback, or discards them where there is none.
Logger logger_of(LogCallback callback);

}  // namespace scistream::sdk

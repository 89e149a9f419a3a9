#pragma once

#include "base/log.hpp"

namespace scistream::bindings {

/// What the servers of this process have to say, for Python's `logging`: its threads, which must
/// not wait for Python, put lines into a queue, and a thread of Python's takes them out.
Logger python_logger();

}  // namespace scistream::bindings

#pragma once

#include <string>

#include "base/error.hpp"
#include "net/fd.hpp"

namespace scistream::net {

/// A non-blocking, close-on-exec Unix socket bound to `path`, which only this user can open; what
/// an earlier process left there is replaced. Listens with listen_tcp. Whoever binds it removes the
/// file at the end. `invalid_argument` if the path is too long for a socket. Any thread.
Result<Fd> bind_unix(const std::string& path);

}  // namespace scistream::net

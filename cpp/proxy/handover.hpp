#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "net/fd.hpp"

namespace scistream::proxy {

/// Descriptors on their way from a data server into a container, by a Unix socket in the folder
/// that both see (unix(7), SCM_RIGHTS). After them, each byte that comes is the number of a signal;
/// the end of the connection is the end of whoever sends.

/// Where the container meets who started it, in a folder whose path may be longer than a socket's:
/// `folder` is open.
std::string handover_path(const net::Fd& folder);

/// Sends what the program gets: where it writes, and then its descriptors from 3 on. Blocks.
Status hand_over(int connection, int output, const std::vector<int>& descriptors);

struct Handed {
  net::Fd output;
  std::vector<net::Fd> descriptors;
};
/// The other end of hand_over(). Blocks; `unavailable` if that ended before all had come.
Result<Handed> take_over(int connection);

}  // namespace scistream::proxy

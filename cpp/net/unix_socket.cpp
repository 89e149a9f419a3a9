#include "net/unix_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>

namespace scistream::net {

Result<Fd> bind_unix(const std::string& path) {
  sockaddr_un address{};
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error{Cause::invalid_argument, "the socket path '" + path + "' is not of 1 to " +
                                              std::to_string(sizeof address.sun_path - 1) +
                                              " bytes"};
  }
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  const std::string what = "cannot listen on the socket '" + path + "'";
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return errno_error(what, errno);
  // Before bind: the file never stands there with any other mode.
  if (::fchmod(socket.get(), 0600) != 0) return errno_error(what, errno);
  ::unlink(path.c_str());
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno_error(what, errno);
  }
  return socket;
}

}  // namespace scistream::net

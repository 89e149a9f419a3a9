#include "proxy/handover.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

namespace scistream::proxy {

namespace {

/// The kernel takes 253 with one message.
constexpr std::size_t most_at_once = 128;
/// Precedes more descriptors, or says that these were all.
enum : std::uint8_t { more = 1, complete = 2 };

using Room = std::array<char, CMSG_SPACE(most_at_once * sizeof(int))>;

Status send_some(int connection, std::uint8_t kind, std::span<const int> descriptors) {
  alignas(cmsghdr) Room room{};
  iovec byte{&kind, 1};
  msghdr message{};
  message.msg_iov = &byte;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = room.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  if (::sendmsg(connection, &message, MSG_NOSIGNAL) != 1)
    return errno_error("cannot hand sockets over to the container", errno);
  return {};
}

}  // namespace

std::string handover_path(const net::Fd& folder) {
  return "/proc/self/fd/" + std::to_string(folder.get()) + "/handover.sock";
}

Status hand_over(int connection, int output, const std::vector<int>& descriptors) {
  std::vector<int> all{output};
  all.insert(all.end(), descriptors.begin(), descriptors.end());
  for (std::size_t i = 0; i < all.size(); i += most_at_once) {
    const auto some = std::span(all).subspan(i, std::min(most_at_once, all.size() - i));
    if (Status sent = send_some(connection, more, some); !sent) return sent;
  }
  return send_some(connection, complete, {});
}

Result<Handed> take_over(int connection) {
  std::vector<net::Fd> all;
  for (;;) {
    alignas(cmsghdr) Room room{};
    std::uint8_t kind = 0;
    iovec byte{&kind, 1};
    msghdr message{};
    message.msg_iov = &byte;
    message.msg_iovlen = 1;
    message.msg_control = room.data();
    message.msg_controllen = room.size();
    const ssize_t got = ::recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error("cannot take over what the container is to serve", errno);
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      std::array<int, most_at_once> some{};
      const std::size_t size = header->cmsg_len - CMSG_LEN(0);
      std::memcpy(some.data(), CMSG_DATA(header), std::min(size, sizeof some));
      for (std::size_t i = 0; i < size / sizeof(int); ++i) all.emplace_back(some.at(i));
    }
    if (got == 1 && kind == complete && !all.empty()) break;
    if (got != 1 || kind != more || (message.msg_flags & MSG_CTRUNC) != 0)
      return Error{Cause::unavailable, "who started this container has gone"};
  }
  Handed handed;
  handed.output = std::move(all.front());
  all.erase(all.begin());
  handed.descriptors = std::move(all);
  return handed;
}

}  // namespace scistream::proxy

#include "net/udp.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/endpoint.hpp"
#include "net/tcp.hpp"

namespace scistream::net {

namespace {

/// Bursts of a sender wait here while the others of a thread have their turn; the system may allow
/// less.
constexpr int buffer_bytes = 4 << 20;

using Control = std::array<std::byte, CMSG_SPACE(sizeof(std::uint16_t))>;
using ControlOfInt = std::array<std::byte, CMSG_SPACE(sizeof(int))>;

bool set_option(int socket, int level, int name, int value) noexcept {
  return ::setsockopt(socket, level, name, &value, sizeof value) == 0;
}

/// In how long pieces the kernel has joined what it gives in one; 0: one datagram.
std::size_t segment_of(msghdr& message) noexcept {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
       control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_GRO) continue;
    int segment = 0;
    std::memcpy(&segment, CMSG_DATA(control), sizeof segment);
    return static_cast<std::size_t>(std::max(segment, 0));
  }
  return 0;
}

void cut_into(msghdr& message, Control& control, std::size_t segment) noexcept {
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_UDP;
  header->cmsg_type = UDP_SEGMENT;
  header->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
  const auto value = static_cast<std::uint16_t>(segment);
  std::memcpy(CMSG_DATA(header), &value, sizeof value);
}

/// Each in a message of its own.
std::size_t send_singly(int socket, const Datagrams& joined, const udp::endpoint* to) noexcept {
  std::size_t taken = 0;
  for (std::size_t offset = 0; offset < joined.size; offset += joined.segment) {
    const std::size_t size = std::min(joined.segment, joined.size - offset);
    const ssize_t sent = ::sendto(socket, joined.data + offset, size, MSG_DONTWAIT | MSG_NOSIGNAL,
                                  to == nullptr ? nullptr : to->data(),
                                  to == nullptr ? 0 : static_cast<socklen_t>(to->size()));
    if (sent > 0) taken += static_cast<std::size_t>(sent);
  }
  return taken;
}

/// Set by what became of an earlier datagram, such as that nobody listens there.
bool is_old_news(int error) noexcept {
  return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH;
}

}  // namespace

Result<Fd> bind_udp(const udp::endpoint& address) {
  const Endpoint name{address.address().to_string(), address.port()};
  Fd socket(::socket(address.protocol().family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return errno_error("cannot bind " + to_string(name), errno);
  if (address.protocol() == udp::v6() && address.address().is_unspecified())
    set_option(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (::bind(socket.get(), address.data(), static_cast<socklen_t>(address.size())) != 0)
    return errno_error("cannot bind " + to_string(name), errno);
  set_option(socket.get(), SOL_UDP, UDP_GRO, 1);
  // The first of each pair goes past the system's limit, and needs privileges.
  for (const auto& [forced, limited] :
       {std::pair{SO_RCVBUFFORCE, SO_RCVBUF}, std::pair{SO_SNDBUFFORCE, SO_SNDBUF}}) {
    if (!set_option(socket.get(), SOL_SOCKET, forced, buffer_bytes))
      set_option(socket.get(), SOL_SOCKET, limited, buffer_bytes);
  }
  return socket;
}

Result<Fd> connect_udp(const udp::endpoint& peer) {
  auto socket = bind_udp(udp::endpoint(peer.protocol(), 0));
  if (!socket) return socket;
  if (::connect(socket->get(), peer.data(), static_cast<socklen_t>(peer.size())) != 0) {
    return errno_error("cannot reach " + peer.address().to_string(), errno);
  }
  return socket;
}

std::span<const Datagrams> DatagramReader::receive(int socket, std::size_t wanted) {
  if (!memory_) memory_.reset(new std::uint8_t[most * slot]);
  std::array<mmsghdr, most> messages{};
  std::array<iovec, most> places{};
  std::array<ControlOfInt, most> controls{};
  wanted = std::clamp<std::size_t>(wanted, 1, most);
  for (std::size_t i = 0; i < wanted; ++i) {
    received_[i].from = udp::endpoint();
    places[i] = {memory_.get() + i * slot, slot};
    msghdr& message = messages[i].msg_hdr;
    message.msg_iov = &places[i];
    message.msg_iovlen = 1;
    message.msg_name = received_[i].from.data();
    message.msg_namelen = static_cast<socklen_t>(received_[i].from.capacity());
    message.msg_control = controls[i].data();
    message.msg_controllen = controls[i].size();
  }
  int count = 0;
  do {
    count =
        ::recvmmsg(socket, messages.data(), static_cast<unsigned>(wanted), MSG_DONTWAIT, nullptr);
  } while (count < 0 && (errno == EINTR || is_old_news(errno)));
  if (count <= 0) return {};
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    Datagrams& datagrams = received_[i];
    datagrams.data = static_cast<const std::uint8_t*>(places[i].iov_base);
    datagrams.size = messages[i].msg_len;
    datagrams.segment = segment_of(messages[i].msg_hdr);
    if (datagrams.segment == 0) datagrams.segment = datagrams.size;
    datagrams.from.resize(messages[i].msg_hdr.msg_namelen);
  }
  return {received_.data(), static_cast<std::size_t>(count)};
}

std::size_t send_datagrams(int socket, std::span<const Datagrams> datagrams,
                           const udp::endpoint* to) noexcept {
  constexpr std::size_t most = DatagramReader::most;
  std::size_t taken = 0;
  bool retried = false;
  while (!datagrams.empty()) {
    std::array<mmsghdr, most> messages{};
    std::array<iovec, most> places{};
    std::array<Control, most> controls{};
    const std::size_t count = std::min(datagrams.size(), most);
    for (std::size_t i = 0; i < count; ++i) {
      const Datagrams& each = datagrams[i];
      places[i] = {const_cast<std::uint8_t*>(each.data), each.size};
      msghdr& message = messages[i].msg_hdr;
      message.msg_iov = &places[i];
      message.msg_iovlen = 1;
      if (to != nullptr) {
        message.msg_name = const_cast<sockaddr*>(to->data());
        message.msg_namelen = static_cast<socklen_t>(to->size());
      }
      if (each.count() > 1) cut_into(message, controls[i], each.segment);
    }
    const int sent = ::sendmmsg(socket, messages.data(), static_cast<unsigned>(count),
                                MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      for (std::size_t i = 0; i < static_cast<std::size_t>(sent); ++i) taken += messages[i].msg_len;
      datagrams = datagrams.subspan(static_cast<std::size_t>(sent));
      retried = false;
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == ENOBUFS) return taken;
    if (is_old_news(errno) && !std::exchange(retried, true)) continue;
    // The first of them: pieces that have to be fragmented cannot be sent as one.
    if (datagrams.front().count() > 1) taken += send_singly(socket, datagrams.front(), to);
    datagrams = datagrams.subspan(1);
    retried = false;
  }
  return taken;
}

}  // namespace scistream::net

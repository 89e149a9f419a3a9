#include "net/socket_statistics.hpp"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "net/fd.hpp"

namespace scistream::net {

namespace {

/// The kernel's `tcp_info` as far as it is read here; the C library declares the first part only.
struct Info {
  tcp_info known;
  std::uint64_t pacing_rate;
  std::uint64_t most_pacing_rate;
  std::uint64_t bytes_acknowledged;
  std::uint64_t bytes_received;
  std::array<std::uint32_t, 6> segments;
  std::array<std::uint64_t, 4> rates_and_times;
  std::array<std::uint32_t, 2> delivered;
  std::uint64_t bytes_sent;
  std::uint64_t bytes_sent_again;
};
static_assert(offsetof(Info, bytes_acknowledged) == 120, "linux/tcp.h");
static_assert(offsetof(Info, bytes_sent) == 200, "linux/tcp.h");

constexpr std::uint32_t states() {
  std::uint32_t mask = 0;
  for (const auto state :
       {TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSING})
    mask |= 1U << static_cast<unsigned>(state);
  return mask;
}

Endpoint endpoint_of(int family, const __be32* address, __be16 port) {
  namespace ip = boost::asio::ip;
  if (family == AF_INET) {
    ip::address_v4::bytes_type bytes;
    std::memcpy(bytes.data(), address, bytes.size());
    return {ip::address_v4(bytes).to_string(), ntohs(port)};
  }
  ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), address, bytes.size());
  const ip::address_v6 six(bytes);
  // Of a socket that takes both families.
  if (six.is_v4_mapped()) return {ip::make_address_v4(ip::v4_mapped, six).to_string(), ntohs(port)};
  return {six.to_string(), ntohs(port)};
}

SocketStatistics statistics_of(const inet_diag_msg& socket, const Info& info) {
  SocketStatistics found;
  found.id =
      static_cast<std::uint64_t>(socket.id.idiag_cookie[1]) << 32U | socket.id.idiag_cookie[0];
  found.local = endpoint_of(socket.idiag_family, socket.id.idiag_src, socket.id.idiag_sport);
  found.peer = endpoint_of(socket.idiag_family, socket.id.idiag_dst, socket.id.idiag_dport);
  // The kernel counts a beginning and an end of data as a byte each where they are acknowledged,
  // though not where they are sent.
  found.bytes_acknowledged =
      std::min(info.bytes_acknowledged, info.bytes_sent - info.bytes_sent_again);
  found.bytes_unread = socket.idiag_rqueue;
  // An end is counted where it is received, too.
  const auto is = [&socket](auto... states) { return ((socket.idiag_state == states) || ...); };
  const bool has_end = is(TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSING) && info.bytes_received > 0;
  found.bytes_received = info.bytes_received - (has_end ? 1 : 0);
  found.idle = std::chrono::milliseconds(
      std::min(info.known.tcpi_last_data_recv, info.known.tcpi_last_data_sent));
  return found;
}

Status ask(int socket, std::uint8_t family) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  message.request.sdiag_family = family;
  message.request.sdiag_protocol = IPPROTO_TCP;
  message.request.idiag_ext = 1U << (INET_DIAG_INFO - 1U);
  message.request.idiag_states = states();
  if (::send(socket, &message, sizeof message, 0) < 0)
    return errno_error("cannot ask the kernel for its connections", errno);
  return {};
}

/// Reads one answer, of many messages.
class Answer {
 public:
  explicit Answer(const std::function<bool(std::uint16_t)>& wanted,
                  std::vector<SocketStatistics>& found)
      : wanted_(wanted), found_(found) {}

  Status read(int socket) {
    for (;;) {
      const ssize_t size = ::recv(socket, buffer_.data(), buffer_.size(), 0);
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) return errno_error("cannot read the kernel's connections", errno);
      auto left = static_cast<std::size_t>(size);
      for (auto* header = reinterpret_cast<nlmsghdr*>(buffer_.data()); NLMSG_OK(header, left);
           header = NLMSG_NEXT(header, left)) {
        if (header->nlmsg_type == NLMSG_DONE) return {};
        if (header->nlmsg_type == NLMSG_ERROR)
          return errno_error("the kernel does not tell its connections",
                             -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error);
        take(header);
      }
    }
  }

 private:
  void take(nlmsghdr* header) {
    const auto* socket = static_cast<const inet_diag_msg*>(NLMSG_DATA(header));
    // Without an inode, its program has closed it, and the kernel is left to finish.
    if (socket->idiag_inode == 0 || !wanted_(ntohs(socket->id.idiag_sport))) return;
    bool told = false;
    Info info{};
    auto left = static_cast<int>(header->nlmsg_len - NLMSG_LENGTH(sizeof *socket));
    for (const auto* part = reinterpret_cast<const rtattr*>(socket + 1); RTA_OK(part, left);
         part = RTA_NEXT(part, left)) {
      if (part->rta_type != INET_DIAG_INFO) continue;
      std::memcpy(&info, RTA_DATA(part), std::min<std::size_t>(RTA_PAYLOAD(part), sizeof info));
      told = true;
    }
    if (told) found_.push_back(statistics_of(*socket, info));
  }

  const std::function<bool(std::uint16_t)>& wanted_;
  std::vector<SocketStatistics>& found_;
  alignas(nlmsghdr) std::array<char, 32768> buffer_;
};

}  // namespace

Result<std::vector<SocketStatistics>> tcp_connections(
    const std::function<bool(std::uint16_t)>& wanted) {
  const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!socket) return errno_error("cannot ask the kernel for its connections", errno);
  std::vector<SocketStatistics> found;
  for (const std::uint8_t family : std::array<std::uint8_t, 2>{AF_INET, AF_INET6}) {
    if (Status asked = ask(socket.get(), family); !asked) return asked.error();
    if (Status read = Answer(wanted, found).read(socket.get()); !read) return read.error();
  }
  return found;
}

}  // namespace scistream::net

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

/// Room for what goes with a message: how it is cut, and an address of ours.
struct alignas(cmsghdr) Control {
  std::array<std::byte, CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(in_pktinfo)) +
                            CMSG_SPACE(sizeof(in6_pktinfo))>
      bytes{};
};

template <class T>
T value_of(cmsghdr* control) noexcept {
  T value{};
  std::memcpy(&value, CMSG_DATA(control), sizeof value);
  return value;
}

template <class T>
void append(msghdr& message, Control& control, int level, int type, const T& value) noexcept {
  message.msg_control = control.bytes.data();
  auto* header = reinterpret_cast<cmsghdr*>(control.bytes.data() + message.msg_controllen);
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(header), &value, sizeof value);
  message.msg_controllen += CMSG_SPACE(sizeof value);
}

bool set_option(int socket, int level, int name, int value) noexcept {
  return ::setsockopt(socket, level, name, &value, sizeof value) == 0;
}

/// In how long pieces the kernel has joined what it gives in one, and to which address of ours it
/// came.
void read_controls(msghdr& message, Datagrams& datagrams) noexcept {
  datagrams.segment = 0;
  datagrams.to = boost::asio::ip::address();
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
       control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
      datagrams.segment = static_cast<std::size_t>(std::max(value_of<int>(control), 0));
    } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
      datagrams.to =
          boost::asio::ip::address_v4(ntohl(value_of<in_pktinfo>(control).ipi_spec_dst.s_addr));
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
      const auto found = value_of<in6_pktinfo>(control);
      boost::asio::ip::address_v6::bytes_type bytes;
      std::memcpy(bytes.data(), &found.ipi6_addr, bytes.size());
      datagrams.to = boost::asio::ip::address_v6(bytes, found.ipi6_ifindex);
    }
  }
  if (datagrams.segment == 0) datagrams.segment = datagrams.size;
}

void say_source(msghdr& message, Control& control, const boost::asio::ip::address& from) noexcept {
  if (from.is_v4()) {
    in_pktinfo source{};
    source.ipi_spec_dst.s_addr = htonl(from.to_v4().to_uint());
    append(message, control, IPPROTO_IP, IP_PKTINFO, source);
  } else {
    in6_pktinfo source{};
    const auto bytes = from.to_v6().to_bytes();
    std::memcpy(&source.ipi6_addr, bytes.data(), bytes.size());
    append(message, control, IPPROTO_IPV6, IPV6_PKTINFO, source);
  }
}

/// Each in a message of its own.
std::size_t send_singly(int socket, const Datagrams& joined, msghdr message) noexcept {
  std::size_t taken = 0;
  for_each_datagram(joined, [&](std::span<const std::uint8_t> bytes) {
    iovec place{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    message.msg_iov = &place;
    const ssize_t sent = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) taken += static_cast<std::size_t>(sent);
    return true;
  });
  return taken;
}

/// `forced` goes past the system's limit, and needs privileges.
void make_room(int socket, int forced, int limited, std::size_t bytes) noexcept {
  const int room = static_cast<int>(std::min(bytes, most_room));
  if (!set_option(socket, SOL_SOCKET, forced, room)) set_option(socket, SOL_SOCKET, limited, room);
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
  // Answers are to leave by the address that was asked.
  if (address.address().is_unspecified()) {
    set_option(socket.get(), IPPROTO_IP, IP_PKTINFO, 1);
    if (address.protocol() == udp::v6())
      set_option(socket.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  }
  join_datagrams(socket.get(), true);
  keep_received(socket.get(), most_room);
  keep_unsent(socket.get(), most_room);
  return socket;
}

void join_datagrams(int socket, bool on) noexcept {
  set_option(socket, SOL_UDP, UDP_GRO, on ? 1 : 0);
}

void keep_received(int socket, std::size_t bytes) noexcept {
  make_room(socket, SO_RCVBUFFORCE, SO_RCVBUF, bytes);
}

void keep_unsent(int socket, std::size_t bytes) noexcept {
  make_room(socket, SO_SNDBUFFORCE, SO_SNDBUF, bytes);
}

Result<Fd> connect_udp(const udp::endpoint& peer) {
  auto socket = bind_udp(udp::endpoint(peer.protocol(), 0));
  if (!socket) return socket;
  if (::connect(socket->get(), peer.data(), static_cast<socklen_t>(peer.size())) != 0) {
    return errno_error("cannot reach " + peer.address().to_string(), errno);
  }
  // Of strangers, who may have written before it was connected; the peer cannot have.
  char ignored = 0;
  while (::recv(socket->get(), &ignored, 1, MSG_DONTWAIT) >= 0) {
  }
  return socket;
}

std::span<const Datagrams> DatagramReader::receive(int socket, std::size_t wanted) {
  if (!memory_) memory_.reset(new std::uint8_t[most * slot]);
  std::array<mmsghdr, most> messages{};
  std::array<iovec, most> places{};
  std::array<Control, most> controls{};
  wanted = std::clamp<std::size_t>(wanted, 1, most);
  for (std::size_t i = 0; i < wanted; ++i) {
    received_[i].from = udp::endpoint();
    places[i] = {memory_.get() + i * slot, slot};
    msghdr& message = messages[i].msg_hdr;
    message.msg_iov = &places[i];
    message.msg_iovlen = 1;
    message.msg_name = received_[i].from.data();
    message.msg_namelen = static_cast<socklen_t>(received_[i].from.capacity());
    message.msg_control = controls[i].bytes.data();
    message.msg_controllen = controls[i].bytes.size();
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
    read_controls(messages[i].msg_hdr, datagrams);
    datagrams.from.resize(messages[i].msg_hdr.msg_namelen);
  }
  return {received_.data(), static_cast<std::size_t>(count)};
}

std::size_t send_datagrams(int socket, std::span<const Datagrams> datagrams,
                           const udp::endpoint* to, const boost::asio::ip::address& from) noexcept {
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
      if (!from.is_unspecified()) say_source(message, controls[i], from);
      if (each.count() > 1) {
        append(message, controls[i], SOL_UDP, UDP_SEGMENT,
               static_cast<std::uint16_t>(each.segment));
      }
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
    if (datagrams.front().count() > 1) {
      msghdr message = messages.front().msg_hdr;
      message.msg_controllen -= CMSG_SPACE(sizeof(std::uint16_t));
      if (message.msg_controllen == 0) message.msg_control = nullptr;
      taken += send_singly(socket, datagrams.front(), message);
    }
    datagrams = datagrams.subspan(1);
    retried = false;
  }
  return taken;
}

}  // namespace scistream::net

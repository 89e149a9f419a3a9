#include "net/tcp.hpp"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/text.hpp"

namespace scistream::net {

namespace {

template <class T>
int set_option(int socket, int level, int name, T value) noexcept {
  return ::setsockopt(socket, level, name, &value, sizeof value);
}

tcp::endpoint from_sockaddr(const sockaddr* address, socklen_t size) {
  tcp::endpoint endpoint;
  endpoint.resize(size);
  std::memcpy(endpoint.data(), address, size);
  return endpoint;
}

/// As getsockname(2) or getpeername(2) tells it.
template <class Tell>
Result<tcp::endpoint> address_by(Tell tell, int socket) {
  tcp::endpoint address;
  auto size = static_cast<socklen_t>(address.capacity());
  if (tell(socket, address.data(), &size) != 0)
    return errno_error("cannot read a socket's address", errno);
  address.resize(size);
  return address;
}

}  // namespace

Result<tcp::endpoint> local_endpoint(const Endpoint& endpoint) {
  const std::string host = endpoint.host.empty() ? "0.0.0.0" : endpoint.host;
  boost::system::error_code ec;
  if (host.find('\0') != std::string::npos)
    return Error{Cause::invalid_argument, "cannot listen on '" + shown(host) + "'"};
  const auto literal = boost::asio::ip::make_address(host, ec);
  if (!ec) return tcp::endpoint(literal, endpoint.port);

  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (failed != 0) {
    return Error{Cause::invalid_argument,
                 "cannot listen on '" + shown(host) + "': " + ::gai_strerror(failed)};
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  tcp::endpoint address = from_sockaddr(found->ai_addr, found->ai_addrlen);
  address.port(endpoint.port);
  return address;
}

Result<Fd> bind_tcp(const tcp::endpoint& address) {
  const auto what = [&] { return "cannot bind " + to_string(to_endpoint(address)); };
  Fd socket(::socket(address.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return errno_error(what(), errno);
  // Every address means those of IPv4 as well, whatever the system's default.
  if (address.protocol() == tcp::v6() && address.address().is_unspecified())
    set_option(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (::bind(socket.get(), address.data(), static_cast<socklen_t>(address.size())) == 0) {
    return socket;
  }
  if (errno != EADDRINUSE) return errno_error(what(), errno);
  // Perhaps only TIME_WAIT is in the way. Two sockets that both have SO_REUSEADDR could share a
  // port until one listens, so it is on for the moment of the bind only.
  set_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (::bind(socket.get(), address.data(), static_cast<socklen_t>(address.size())) != 0) {
    Error error = errno_error(what(), errno);
    if (errno == EADDRINUSE) error.message += "; ss -ltnp says by what, or give another port";
    return error;
  }
  set_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 0);
  return socket;
}

Status listen_tcp(int socket, int backlog) {
  // On from here, where a listening port can no longer be shared: what is accepted inherits it, and
  // a TIME_WAIT without it would keep the next bind_tcp() off the port.
  set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
  if (::listen(socket, backlog) != 0) return errno_error("cannot listen", errno);
  return {};
}

Result<tcp::endpoint> bound_address(int socket) { return address_by(::getsockname, socket); }

Result<tcp::endpoint> peer_address(int socket) { return address_by(::getpeername, socket); }

Endpoint to_endpoint(const tcp::endpoint& address) {
  return {address.address().to_string(), address.port()};
}

void set_stream_options(int socket) noexcept {
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, 6);
}

void leave_unpaced_on_loopback(int socket, const tcp::endpoint& address) noexcept {
  if (!address.address().is_loopback()) return;
  // Every kernel has it, and no privilege is needed to choose it.
  constexpr std::string_view name = "reno";
  ::setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name.data(), name.size());
}

void set_reset_on_close(int socket, bool on) noexcept {
  linger option{};
  option.l_onoff = on ? 1 : 0;
  set_option(socket, SOL_SOCKET, SO_LINGER, option);
}

void async_resolve(
    tcp::resolver& resolver, const Endpoint& endpoint,
    std::function<void(boost::system::error_code, std::vector<tcp::endpoint>)> done) {
  boost::system::error_code ec;
  const auto literal = boost::asio::ip::make_address(endpoint.host, ec);
  if (!ec) {
    boost::asio::post(resolver.get_executor(),
                      [done = std::move(done), address = tcp::endpoint(literal, endpoint.port)] {
                        done({}, {address});
                      });
    return;
  }
  try {
    resolver.async_resolve(
        endpoint.host, std::to_string(endpoint.port), tcp::resolver::numeric_service,
        [done](boost::system::error_code error, const tcp::resolver::results_type& results) {
          done(error, std::vector<tcp::endpoint>(results.begin(), results.end()));
        });
  } catch (const boost::system::system_error& no_thread) {
    // The context's resolver thread starts with its first name.
    boost::asio::post(resolver.get_executor(),
                      [done = std::move(done), error = no_thread.code()] { done(error, {}); });
  }
}

Result<std::vector<std::string>> local_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return errno_error("cannot list local addresses", errno);
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  std::vector<std::string> addresses;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0) continue;
    const int family = entry->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    std::string text = from_sockaddr(entry->ifa_addr, size).address().to_string();
    if (std::find(addresses.begin(), addresses.end(), text) == addresses.end()) {
      addresses.push_back(std::move(text));
    }
  }
  return addresses;
}

bool is_local_address(const std::string& host) {
  const auto address = local_endpoint({host, 0});
  // Only the kernel knows all that is local: the whole of 127/8 is, and no interface lists it.
  return address.ok() && bind_tcp(*address).ok();
}

Result<std::string> route_source(std::string_view peer) {
  boost::system::error_code ec;
  const auto address = boost::asio::ip::make_address(std::string(peer), ec);
  if (ec) {
    return Error{Cause::invalid_argument, "'" + std::string(peer) + "' is not an IP address"};
  }
  // Connecting a datagram socket only looks up the route; the port is any but 0.
  const tcp::endpoint destination(address, 9);
  const Fd socket(::socket(destination.protocol().family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const std::string what = "no route to " + std::string(peer);
  if (!socket || ::connect(socket.get(), destination.data(),
                           static_cast<socklen_t>(destination.size())) != 0) {
    return errno_error(what, errno);
  }
  const auto source = bound_address(socket.get());
  if (!source) return source.error();
  return source.value().address().to_string();
}

}  // namespace scistream::net

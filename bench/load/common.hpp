#pragma once

// What the programs of ./dev bench share. Errors are exceptions with the call and errno.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/endpoint.hpp"

namespace scistream::bench {

using Clock = std::chrono::steady_clock;

constexpr std::size_t piece = 1 << 20;
constexpr char discard = 'D';  // answer `ready`, read to the end, answer with the number of bytes
constexpr char echo = 'E';     // send back messages of the size given
constexpr char ready = 'R';

/// First on every connection.
struct Greeting {
  char mode = discard;
  std::array<char, 3> padding{};
  std::uint32_t size = 0;  ///< Of a message, bytes.
};

[[noreturn]] inline void fail(const char* what) {
  throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

inline void send_all(int socket, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(socket, data, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) fail("send");
    data += sent;
    size -= static_cast<std::size_t>(sent);
  }
}

/// False at the end of the stream.
inline bool receive_all(int socket, char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t got = ::recv(socket, data, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("recv");
    if (got == 0) return false;
    data += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

inline void no_delay(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

inline sockaddr_in address_of(const std::string& text, ZeroPort zero) {
  const auto endpoint = parse_endpoint(text, zero);
  if (!endpoint) throw std::runtime_error(endpoint.error().message);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint->port);
  if (::inet_pton(AF_INET, endpoint->host.c_str(), &address.sin_addr) != 1) fail("inet_pton");
  return address;
}

inline int listen_on(sockaddr_in address) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("bind");
  if (::listen(listener, SOMAXCONN) != 0) fail("listen");
  return listener;
}

inline int connect_to(const sockaddr_in& address, Greeting greeting) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail("connect");
  no_delay(socket);
  send_all(socket, reinterpret_cast<const char*>(&greeting), sizeof greeting);
  return socket;
}

/// The least value that so many percent of them do not exceed; `ordered` is not empty.
inline double quantile(const std::vector<double>& ordered, std::size_t percent) {
  const std::size_t rank = (ordered.size() * percent + 99) / 100;
  return ordered[rank == 0 ? 0 : rank - 1];
}

/// A number of a command line.
template <class Number>
Number number_of(const std::string& name, const std::string& text, Number least, Number most) {
  Number number{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  // Written so that NaN is refused.
  if (error != std::errc() || rest != end || !(number >= least && number <= most)) {
    throw std::invalid_argument(name + " '" + text + "' is not a number from " +
                                std::to_string(least) + " to " + std::to_string(most));
  }
  return number;
}

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The measurements that fill a file of their own; each prints one line of JSON.
void arrivals(const sockaddr_in& sink, const sockaddr_in& address, unsigned connections,
              double seconds);
void datagrams(const sockaddr_in& address, unsigned flows, std::size_t size, double seconds);
void serve_datagrams(const sockaddr_in& address);
void frames_out(sockaddr_in address, std::size_t size, double seconds);
void frames_in(const sockaddr_in& address, std::size_t size);
void path(const std::string& one, const std::string& other, double milliseconds, double mbps);

}  // namespace scistream::bench

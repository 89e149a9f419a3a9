#pragma once

// What applications of the examples do with sockets. None of it is SciStream's: they would do the
// same without.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <scistream/endpoint.hpp>
#include <scistream/error.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

/// The value, or its error thrown; an example has no better use for it.
template <class T>
T must(scistream::Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(result).value();
}

/// Owns a descriptor.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Socket() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  [[nodiscard]] int get() const { return descriptor_; }

 private:
  int descriptor_ = -1;
};

/// Throws what the system says, if it says no.
inline int checked(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + " failed");
  return result;
}

inline sockaddr_in address_of(const scistream::Endpoint& endpoint) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  checked(::inet_pton(AF_INET, endpoint.host.c_str(), &address.sin_addr) - 1, "inet_pton");
  return address;
}

/// A listener on a free port of this machine, and where it is.
inline std::pair<Socket, scistream::Endpoint> listen_on_loopback() {
  Socket socket(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  sockaddr_in address = address_of({"127.0.0.1", 0});
  socklen_t size = sizeof address;
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  checked(::bind(socket.get(), plain, size), "bind");
  checked(::listen(socket.get(), 16), "listen");
  checked(::getsockname(socket.get(), plain, &size), "getsockname");
  return {std::move(socket), scistream::Endpoint{"127.0.0.1", ntohs(address.sin_port)}};
}

inline Socket connect_to(const scistream::Endpoint& endpoint) {
  Socket socket(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  const sockaddr_in address = address_of(endpoint);
  checked(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
          "connect");
  return socket;
}

inline Socket accept_from(const Socket& listener) {
  return Socket(checked(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept"));
}

/// All of it, and then the end of the stream.
inline void send_all(const Socket& socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) throw std::runtime_error("send failed");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  checked(::shutdown(socket.get(), SHUT_WR), "shutdown");
}

/// Up to the end of the stream.
inline std::string receive_all(const Socket& socket) {
  std::string bytes;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t count = ::recv(socket.get(), buffer, sizeof buffer, 0);
    if (count < 0) throw std::runtime_error("recv failed");
    if (count == 0) return bytes;
    bytes.append(buffer, static_cast<std::size_t>(count));
  }
}

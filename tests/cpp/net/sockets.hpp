#pragma once

// Blocking sockets with a deadline on every wait, for tests that play client and target.

#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

#include "base/endpoint.hpp"
#include "net/fd.hpp"
#include "net/tcp.hpp"

namespace scistream::test {

using namespace std::chrono_literals;

/// Longer than anything here takes, even under a sanitizer on a busy machine.
inline constexpr auto patience = 30s;

inline int poll_for(int fd, short events, std::chrono::milliseconds limit = patience) {
  pollfd waiting{fd, events, 0};
  return ::poll(&waiting, 1, static_cast<int>(limit.count()));
}

/// True as soon as `condition` is, false if it is not within the patience. For conditions that
/// signal nothing, such as the number of open descriptors.
inline bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(result).value();
}
inline void must(const Status& status) {
  if (!status) throw std::runtime_error(status.error().message);
}

inline net::tcp::endpoint address_of(const Endpoint& endpoint) {
  return must(net::local_endpoint(endpoint));
}

/// A bound port that refuses connections until listen().
class Target {
 public:
  explicit Target(const std::string& host = "127.0.0.1", bool listening = true)
      : socket_(must(net::bind_tcp(address_of({host, 0})))),
        endpoint_(net::to_endpoint(must(net::bound_address(socket_.get())))) {
    if (listening) listen();
  }
  void listen() { must(net::listen_tcp(socket_.get(), 4096)); }
  void close() { socket_.reset(); }
  [[nodiscard]] const Endpoint& endpoint() const { return endpoint_; }
  /// The next connection, blocking mode; none if it does not come in time.
  [[nodiscard]] net::Fd accept(std::chrono::milliseconds limit = patience) const {
    if (poll_for(socket_.get(), POLLIN, limit) != 1) return {};
    return net::Fd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }

 private:
  net::Fd socket_;
  Endpoint endpoint_;
};

/// 0, or the errno of connecting `socket`.
inline int connect_socket(int socket, const Endpoint& to) {
  const auto address = address_of(to);
  return ::connect(socket, address.data(), static_cast<socklen_t>(address.size())) == 0 ? 0 : errno;
}

inline net::Fd make_socket(const Endpoint& to) {
  return net::Fd(::socket(address_of(to).protocol().family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
}

/// A connected, blocking socket; throws if refused.
inline net::Fd connect_to(const Endpoint& to) {
  net::Fd socket = make_socket(to);
  const int error = connect_socket(socket.get(), to);
  if (error != 0) throw std::system_error(error, std::generic_category(), to_string(to));
  return socket;
}

inline int connect_error(const Endpoint& to) { return connect_socket(make_socket(to).get(), to); }

inline void send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) throw std::system_error(errno, std::generic_category(), "send");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

/// How a stream ended: 0 is the end of the data, else an errno (ETIMEDOUT: it did not).
struct Received {
  std::string bytes;
  int error = 0;
};

/// Reads until the end, or until `size` bytes came.
inline Received receive(int socket, std::size_t size = SIZE_MAX) {
  Received received;
  char buffer[65536];
  while (received.bytes.size() < size) {
    if (poll_for(socket, POLLIN) != 1) return {std::move(received.bytes), ETIMEDOUT};
    const ssize_t n =
        ::recv(socket, buffer, std::min(sizeof buffer, size - received.bytes.size()), 0);
    if (n == 0) return received;
    if (n < 0) return {std::move(received.bytes), errno};
    received.bytes.append(buffer, static_cast<std::size_t>(n));
  }
  return received;
}

/// Sends until nobody takes any more, for a while.
inline void send_until_full(int socket) {
  const std::string chunk(65536, 'x');
  while (poll_for(socket, POLLOUT, std::chrono::milliseconds(300)) == 1)
    if (::send(socket, chunk.data(), chunk.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return;
}

inline void half_close(int socket) { ::shutdown(socket, SHUT_WR); }

/// Closes with a reset.
inline void reset(net::Fd& socket) {
  net::set_reset_on_close(socket.get(), true);
  socket.reset();
}

/// Bytes that differ at every position and in every stream.
inline std::string pattern(std::size_t size, std::uint64_t seed) {
  std::string bytes(size, '\0');
  std::uint64_t state = seed;
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    std::uint64_t word = (state += 0x9e3779b97f4a7c15U);
    word = (word ^ (word >> 30U)) * 0xbf58476d1ce4e5b9U;
    word = (word ^ (word >> 27U)) * 0x94d049bb133111ebU;
    bytes.replace(i, 8, reinterpret_cast<const char*>(&word), 8);
  }
  return bytes;
}

/// Open descriptors whose link starts with `kind` ("" for all), the listing's own excluded.
inline int open_descriptors(std::string_view kind = "") {
  DIR* directory = ::opendir("/proc/self/fd");
  int count = 0;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string name = entry->d_name;
    if (name == "." || name == ".." || name == std::to_string(::dirfd(directory))) continue;
    char link[256];
    const ssize_t size = ::readlink(("/proc/self/fd/" + name).c_str(), link, sizeof link);
    if (size > 0 && std::string_view(link, static_cast<std::size_t>(size)).starts_with(kind))
      ++count;
  }
  ::closedir(directory);
  return count;
}

/// Threads of this process whose name starts with `name` ("" for all, a sanitizer's own included).
inline int thread_count(std::string_view name = "") {
  DIR* directory = ::opendir("/proc/self/task");
  int count = 0;
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream file("/proc/self/task/" + std::string(entry->d_name) + "/comm");
    std::string found;
    if (std::getline(file, found) && found.starts_with(name)) ++count;
  }
  ::closedir(directory);
  return count;
}

/// Lowers the limit on open descriptors while it lives, so that none more can be opened.
class NoMoreDescriptors {
 public:
  NoMoreDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    // The lowest free number is the first that may not be used; numbers below it are all taken.
    const int lowest_free = ::dup(0);
    ::close(lowest_free);
    rlimit now = before_;
    now.rlim_cur = static_cast<rlim_t>(lowest_free);
    ::setrlimit(RLIMIT_NOFILE, &now);
  }
  NoMoreDescriptors(const NoMoreDescriptors&) = delete;
  NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;
  ~NoMoreDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace scistream::test

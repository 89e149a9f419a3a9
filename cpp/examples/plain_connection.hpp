#pragma once

// One connection of the data server in own_data_server.cpp, on a thread of its own that waits in
// poll() for both sides, and for a signal to give up.

#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <scistream/data_server.hpp>

#include "sockets.hpp"

/// Something that threads in poll() are told once, and stays told.
class Signal {
 public:
  void give() const { ::eventfd_write(event_.get(), 1); }
  [[nodiscard]] int get() const { return event_.get(); }

 private:
  Socket event_{checked(::eventfd(0, EFD_CLOEXEC), "eventfd")};
};

/// What a channel and the threads of its connections share.
struct Shared {
  Signal close;  ///< No further connections.
  Signal cut;    ///< And an end of those that there are.
  std::atomic<std::uint64_t> to_consumer{0}, to_producer{0}, active{0}, total{0}, errors{0};
  std::mutex mutex;                 ///< Of the route, and of the end of a connection.
  std::condition_variable changed;  ///< A connection has ended.
  scistream::ForwardRequest route;
};

inline std::unique_ptr<addrinfo, void (*)(addrinfo*)> look_up(const scistream::Endpoint& where) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  (void)::getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints, &found);
  return {found, [](addrinfo* all) {
            if (all != nullptr) ::freeaddrinfo(all);
          }};
}

/// One direction of a connection, and what has been read and not been written yet.
struct Way {
  int from, to;
  std::atomic<std::uint64_t>& count;
  std::size_t begin = 0, end = 0;
  bool over = false;
  std::array<char, 1 << 16> bytes{};

  [[nodiscard]] bool has_bytes() const { return begin < end; }
  /// False if the connection is broken. An end of stream goes on to the other side.
  bool step() {
    if (over) return true;
    if (!has_bytes()) {
      const ssize_t got = ::recv(from, bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (got < 0) return errno == EAGAIN || errno == EINTR;
      over = got == 0;
      if (over) return ::shutdown(to, SHUT_WR) == 0;
      begin = 0;
      end = static_cast<std::size_t>(got);
    }
    const ssize_t put = ::send(to, &bytes[begin], end - begin, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0) return errno == EAGAIN || errno == EINTR;
    begin += static_cast<std::size_t>(put);
    count += static_cast<std::uint64_t>(put);
    return true;
  }
};

/// Moves bytes both ways. Whether both have ended by themselves.
inline bool carry(const Socket& client, const Socket& target, Shared& shared) {
  Way ways[2] = {{client.get(), target.get(), shared.to_producer},
                 {target.get(), client.get(), shared.to_consumer}};
  while (!ways[0].over || !ways[1].over) {
    pollfd wanted[5] = {{shared.cut.get(), POLLIN, 0}};
    for (int i = 0; i < 2; ++i) {  // poll() ignores what is below 0
      wanted[1 + i] = {ways[i].over || ways[i].has_bytes() ? -1 : ways[i].from, POLLIN, 0};
      wanted[3 + i] = {ways[i].has_bytes() ? ways[i].to : -1, POLLOUT, 0};
    }
    if (::poll(wanted, 5, -1) < 0 && errno != EINTR) return false;
    if (wanted[0].revents != 0 || !ways[0].step() || !ways[1].step()) return false;
  }
  return true;
}

/// Connected, or without a descriptor: it is not there, not allowed, or cut meanwhile.
inline Socket dial(const scistream::Endpoint& target, const scistream::ForwardRequest& route,
                   const Signal& cut) {
  const auto all = look_up(target);
  for (const addrinfo* each = all.get(); each != nullptr; each = each->ai_next) {
    char numeric[NI_MAXHOST];
    if (::getnameinfo(each->ai_addr, each->ai_addrlen, numeric, sizeof numeric, nullptr, 0,
                      NI_NUMERICHOST) != 0 ||
        !route.permits(numeric, target.port))
      continue;
    Socket socket(::socket(each->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    (void)::connect(socket.get(), each->ai_addr, each->ai_addrlen);  // poll says what comes of it
    pollfd both[2] = {{socket.get(), POLLOUT, 0}, {cut.get(), POLLIN, 0}};
    int error = ETIMEDOUT;
    socklen_t size = sizeof error;
    if (::poll(both, 2, 10'000) > 0 && both[1].revents == 0)
      ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0) return socket;
  }
  return {};
}

/// Until then, to close it is to reset it.
inline void set_clean_end(const Socket& socket, bool is_clean) {
  const linger how{is_clean ? 0 : 1, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &how, sizeof how);
}

/// A connection's life, on a thread of its own.
inline void serve(Socket client, std::size_t listener, const std::shared_ptr<Shared>& shared) {
  scistream::ForwardRequest route;
  {
    const std::lock_guard lock(shared->mutex);
    route = shared->route;
  }
  {
    const Socket ours = std::move(client);
    set_clean_end(ours, false);
    const Socket target = dial(route.targets[listener % route.targets.size()], route, shared->cut);
    set_clean_end(target, false);
    const bool is_clean = target.get() >= 0 && carry(ours, target, *shared);
    if (!is_clean) ++shared->errors;
    set_clean_end(ours, is_clean);
    set_clean_end(target, is_clean);
  }
  const std::lock_guard lock(shared->mutex);
  --shared->active;
  shared->changed.notify_all();
}

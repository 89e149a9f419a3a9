// Load for ./dev bench: a sink, and what drives connections to it. Moving the bytes costs as little
// here as it can (sendfile out of memory, MSG_TRUNC instead of a copy), so that whatever lies
// between the two ends is what is measured. Every result is one line of JSON.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/endpoint.hpp"

namespace {

using namespace scistream;  // NOLINT(google-build-using-namespace): a program, not a header
using Clock = std::chrono::steady_clock;

constexpr std::size_t piece = 1 << 20;
constexpr char discard = 'D';  // read to the end, answer with the number of bytes
constexpr char echo = 'E';     // send back messages of the size given

/// First on every connection.
struct Greeting {
  char mode = discard;
  std::array<char, 3> padding{};
  std::uint32_t size = 0;  ///< Of a message, bytes.
};

[[noreturn]] void fail(const char* what) {
  throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

void send_all(int socket, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(socket, data, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) fail("send");
    data += sent;
    size -= static_cast<std::size_t>(sent);
  }
}

/// False at the end of the stream.
bool receive_all(int socket, char* data, std::size_t size) {
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

void no_delay(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

sockaddr_in address_of(const std::string& text, ZeroPort zero) {
  const auto endpoint = parse_endpoint(text, zero);
  if (!endpoint) throw std::runtime_error(endpoint.error().message);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint->port);
  if (::inet_pton(AF_INET, endpoint->host.c_str(), &address.sin_addr) != 1) fail("inet_pton");
  return address;
}

// ---- the sink --------------------------------------------------------------------------------

void answer(int socket) {
  no_delay(socket);
  Greeting greeting;
  std::vector<char> buffer(piece);
  if (!receive_all(socket, reinterpret_cast<char*>(&greeting), sizeof greeting)) return;
  if (greeting.mode == echo) {
    buffer.resize(greeting.size);
    while (receive_all(socket, buffer.data(), buffer.size()))
      send_all(socket, buffer.data(), buffer.size());
    return;
  }
  std::uint64_t total = 0;
  for (;;) {
    const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("recv");
    if (got == 0) break;
    total += static_cast<std::uint64_t>(got);
  }
  send_all(socket, reinterpret_cast<const char*>(&total), sizeof total);
}

int listen_on(sockaddr_in address) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("bind");
  if (::listen(listener, SOMAXCONN) != 0) fail("listen");
  return listener;
}

void serve(const std::string& where) {
  sockaddr_in address = address_of(where, ZeroPort::allowed);
  const int listener = listen_on(address);
  socklen_t size = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  const std::string host = where.substr(0, where.rfind(':'));
  std::printf("sink ready on %s:%d\n", host.c_str(), ntohs(address.sin_port));
  std::fflush(stdout);
  for (;;) {
    const int socket = ::accept(listener, nullptr, nullptr);
    if (socket < 0) fail("accept");
    std::thread([socket] {
      try {
        answer(socket);
      } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the other end knows
      }
      ::close(socket);
    }).detach();
  }
}

// ---- the drivers -----------------------------------------------------------------------------

int connect_to(const sockaddr_in& address, Greeting greeting) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail("connect");
  no_delay(socket);
  send_all(socket, reinterpret_cast<const char*>(&greeting), sizeof greeting);
  return socket;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Sends for that long; the bytes that arrived at the sink, which the sink confirms.
std::uint64_t push(int socket, int memory, double seconds) {
  const auto start = Clock::now();
  while (seconds_since(start) < seconds) {
    off_t offset = 0;
    if (::sendfile(socket, memory, &offset, piece) < 0 && errno != EINTR) fail("sendfile");
  }
  ::shutdown(socket, SHUT_WR);
  std::uint64_t total = 0;
  if (!receive_all(socket, reinterpret_cast<char*>(&total), sizeof total))
    throw std::runtime_error("the sink did not confirm");
  ::close(socket);
  return total;
}

void throughput(const sockaddr_in& address, unsigned connections, double seconds) {
  const int memory = ::memfd_create("payload", 0);
  std::vector<char> payload(piece, 'x');
  if (::write(memory, payload.data(), payload.size()) != static_cast<ssize_t>(piece)) fail("write");
  std::vector<int> sockets(connections);
  for (int& socket : sockets) socket = connect_to(address, {discard, {}, 0});
  std::atomic<std::uint64_t> total{0};
  std::atomic<bool> failed{false};
  std::vector<std::thread> threads;
  threads.reserve(connections);
  const auto start = Clock::now();
  for (const int socket : sockets) {
    threads.emplace_back([&, socket] {
      try {
        total += push(socket, memory, seconds);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "load: %s\n", error.what());
        failed = true;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  if (failed) throw std::runtime_error("a connection was cut");
  std::printf("{\"bytes\": %llu, \"seconds\": %.6f}\n",
              static_cast<unsigned long long>(total.load()), seconds_since(start));
}

/// Is the sink itself, and says when bytes come: what most and least came within a second, the most
/// within 10 ms, and the least and largest share of a connection.
void arrivals(const sockaddr_in& sink, const sockaddr_in& address, unsigned connections,
              double seconds) {
  constexpr std::chrono::milliseconds settling{500};
  std::signal(SIGPIPE, SIG_IGN);  // sendfile() cannot be told to leave it
  const auto length = static_cast<std::size_t>(seconds * 1000);
  std::vector<std::atomic<std::uint64_t>> came(length);  // in each millisecond
  std::vector<std::atomic<std::uint64_t>> of(connections);
  const int listener = listen_on(sink);
  const int memory = ::memfd_create("payload", 0);
  if (::ftruncate(memory, piece) != 0) fail("ftruncate");
  std::atomic<bool> over{false};
  std::vector<int> sockets;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < connections; ++i)
    sockets.push_back(connect_to(address, {discard, {}, 0}));
  const auto start = Clock::now() + settling;
  for (unsigned i = 0; i < connections; ++i) {
    threads.emplace_back([&, socket = sockets[i]] {
      off_t offset = 0;
      while (!over && ::sendfile(socket, memory, &(offset = 0), piece) > 0) {
      }
    });
    sockets.push_back(::accept(listener, nullptr, nullptr));
    threads.emplace_back([&, i, socket = sockets.back()] {
      std::vector<char> buffer(64U << 10U);
      for (;;) {
        const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), MSG_TRUNC);
        if (got <= 0) return;
        const auto at = Clock::now() - start;
        const auto bin = std::chrono::duration_cast<std::chrono::milliseconds>(at).count();
        if (at.count() < 0 || static_cast<std::size_t>(bin) >= length) continue;
        came[static_cast<std::size_t>(bin)] += static_cast<std::uint64_t>(got);
        of[i] += static_cast<std::uint64_t>(got);
      }
    });
  }
  std::this_thread::sleep_until(start + std::chrono::milliseconds(length));
  over = true;
  for (const int socket : sockets) ::shutdown(socket, SHUT_RDWR);
  for (auto& thread : threads) thread.join();

  const auto extremes = [&came](std::size_t window) {
    std::uint64_t sum = 0;
    std::uint64_t least = UINT64_MAX;
    std::uint64_t most = 0;
    for (std::size_t i = 0; i < came.size(); ++i) {
      sum += came[i];
      if (i >= window) sum -= came[i - window];
      if (i + 1 < window) continue;
      least = std::min(least, sum);
      most = std::max(most, sum);
    }
    return std::pair{least, most};
  };
  std::uint64_t total = 0;
  for (const auto& bytes : came) total += bytes;
  const auto [slowest, fastest] = extremes(1000);
  const auto [pause, burst] = extremes(10);
  const auto [low, high] = std::minmax_element(
      of.begin(), of.end(), [](const auto& a, const auto& b) { return a.load() < b.load(); });
  std::printf(
      "{\"bytes\": %llu, \"seconds\": %.3f, \"least_in_1_s\": %llu, \"most_in_1_s\": %llu, "
      "\"most_in_10_ms\": %llu, \"least_share\": %.4f, \"most_share\": %.4f}\n",
      static_cast<unsigned long long>(total), static_cast<double>(length) / 1000,
      static_cast<unsigned long long>(slowest), static_cast<unsigned long long>(fastest),
      static_cast<unsigned long long>(burst),
      static_cast<double>(low->load()) / static_cast<double>(total),
      static_cast<double>(high->load()) / static_cast<double>(total));
}

void ping_pong(const sockaddr_in& address, std::uint32_t size, unsigned rounds) {
  const int socket = connect_to(address, {echo, {}, size});
  std::vector<char> message(size, 'x');
  std::vector<double> microseconds;
  microseconds.reserve(rounds);
  constexpr unsigned warm_up = 100;
  for (unsigned i = 0; i < rounds + warm_up; ++i) {
    const auto start = Clock::now();
    send_all(socket, message.data(), message.size());
    if (!receive_all(socket, message.data(), message.size()))
      throw std::runtime_error("the echo ended");
    if (i >= warm_up) microseconds.push_back(seconds_since(start) * 1e6);
  }
  ::close(socket);
  std::sort(microseconds.begin(), microseconds.end());
  std::printf("{\"p50_us\": %.2f, \"p99_us\": %.2f}\n", microseconds[rounds / 2],
              microseconds[rounds * 99 / 100]);
}

/// Connects, exchanges one byte and closes, again and again.
void connections(const sockaddr_in& address, double seconds) {
  const auto start = Clock::now();
  unsigned count = 0;
  char byte = 'x';
  for (; seconds_since(start) < seconds; ++count) {
    const int socket = connect_to(address, {echo, {}, 1});
    send_all(socket, &byte, 1);
    if (!receive_all(socket, &byte, 1)) throw std::runtime_error("the echo ended");
    ::close(socket);
  }
  std::printf("{\"per_second\": %.1f}\n", count / seconds_since(start));
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 2 && words[0] == "sink") {
      serve(words[1]);
    } else if (words.size() == 4 && words[0] == "throughput") {
      throughput(address_of(words[1], ZeroPort::refused),
                 static_cast<unsigned>(std::stoul(words[2])), std::stod(words[3]));
    } else if (words.size() == 4 && words[0] == "ping-pong") {
      ping_pong(address_of(words[1], ZeroPort::refused),
                static_cast<std::uint32_t>(std::stoul(words[2])),
                static_cast<unsigned>(std::stoul(words[3])));
    } else if (words.size() == 5 && words[0] == "arrivals") {
      arrivals(address_of(words[1], ZeroPort::refused), address_of(words[2], ZeroPort::refused),
               static_cast<unsigned>(std::stoul(words[3])), std::stod(words[4]));
    } else if (words.size() == 3 && words[0] == "connections") {
      connections(address_of(words[1], ZeroPort::refused), std::stod(words[2]));
    } else {
      std::fprintf(stderr,
                   "Usage: bench_load sink HOST:PORT | throughput HOST:PORT CONNECTIONS SECONDS |\n"
                   "       ping-pong HOST:PORT BYTES ROUNDS | connections HOST:PORT SECONDS |\n"
                   "       arrivals SINK HOST:PORT CONNECTIONS SECONDS\n");
      return 2;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "load: %s\n", error.what());
    return 1;
  }
  return 0;
}

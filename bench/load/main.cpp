// Load for ./dev bench: a sink, and what drives connections to it. Moving the bytes costs as little
// here as it can (sendfile out of memory, MSG_TRUNC instead of a copy), so that whatever lies
// between the two ends is what is measured. Every result is one line of JSON.
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <thread>

#include "common.hpp"

namespace {

using namespace scistream;         // NOLINT(google-build-using-namespace): a program, not a header
using namespace scistream::bench;  // NOLINT(google-build-using-namespace): nor this

// ---- the sink --------------------------------------------------------------------------------

void answer(int socket) {
  no_delay(socket);
  Greeting greeting;
  if (!receive_all(socket, reinterpret_cast<char*>(&greeting), sizeof greeting)) return;
  if (greeting.mode == echo) {
    std::vector<char> buffer(greeting.size);
    while (receive_all(socket, buffer.data(), buffer.size()))
      send_all(socket, buffer.data(), buffer.size());
    return;
  }
  send_all(socket, &ready, sizeof ready);
  std::uint64_t total = 0;
  for (;;) {
    const ssize_t got = ::recv(socket, nullptr, piece, MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("recv");
    if (got == 0) break;
    total += static_cast<std::uint64_t>(got);
  }
  send_all(socket, reinterpret_cast<const char*>(&total), sizeof total);
}

void serve(const std::string& where) {
  sockaddr_in address = address_of(where, ZeroPort::allowed);
  const int listener = listen_on(address);
  socklen_t size = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  const std::string host = where.substr(0, where.rfind(':'));
  std::thread(serve_datagrams, address).detach();
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
  for (const int socket : sockets) {
    char said = 0;
    if (!receive_all(socket, &said, sizeof said) || said != ready)
      throw std::runtime_error("the sink is not ready");
  }
  // What it takes to connect is not what is measured: whoever measures says when to start.
  std::printf("throughput ready\n");
  std::fflush(stdout);
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
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
  std::printf("{\"p50_us\": %.2f, \"p99_us\": %.2f, \"percentiles_us\": [",
              quantile(microseconds, 50), quantile(microseconds, 99));
  for (unsigned percent = 0; percent < 100; ++percent)
    std::printf("%s%.2f", percent == 0 ? "" : ", ", quantile(microseconds, percent));
  std::printf("]}\n");
}

/// A connection through which one byte has gone there and back.
int used_connection(const sockaddr_in& address) {
  char byte = 'x';
  const int socket = connect_to(address, {echo, {}, 1});
  send_all(socket, &byte, 1);
  if (!receive_all(socket, &byte, 1)) throw std::runtime_error("the echo ended");
  return socket;
}

/// Connects, exchanges one byte and closes, again and again, in so many threads.
void connections(const sockaddr_in& address, unsigned at_once, double seconds) {
  std::atomic<unsigned> count{0};
  std::atomic<bool> failed{false};
  std::vector<std::thread> threads;
  threads.reserve(at_once);
  const auto start = Clock::now();
  for (unsigned i = 0; i < at_once; ++i) {
    threads.emplace_back([&] {
      try {
        for (; seconds_since(start) < seconds; ++count) ::close(used_connection(address));
      } catch (const std::exception& error) {
        std::fprintf(stderr, "load: %s\n", error.what());
        failed = true;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  if (failed) throw std::runtime_error("a connection failed");
  std::printf("{\"per_second\": %.1f}\n", count / seconds_since(start));
}

/// Is the sink itself, and keeps connections that are used once and then say nothing, until it is
/// ended.
void idle(const sockaddr_in& sink, const sockaddr_in& address, unsigned connections) {
  const int listener = listen_on(sink);
  for (unsigned i = 0; i < connections; ++i) {
    const int client = connect_to(address, {echo, {}, 1});
    Greeting greeting;
    int server = -1;
    for (;;) {  // what has looked whether somebody listens may still come
      server = ::accept(listener, nullptr, nullptr);
      if (server < 0) fail("accept");
      if (receive_all(server, reinterpret_cast<char*>(&greeting), sizeof greeting)) break;
      ::close(server);
    }
    send_all(server, &greeting.mode, 1);
    if (!receive_all(client, &greeting.mode, 1)) throw std::runtime_error("a connection ended");
  }
  std::printf("idle ready\n");
  std::fflush(stdout);
  ::pause();
}

constexpr const char* usage =
    "Usage: bench_load sink HOST:PORT | throughput HOST:PORT CONNECTIONS SECONDS |\n"
    "       ping-pong HOST:PORT BYTES ROUNDS | idle SINK HOST:PORT CONNECTIONS |\n"
    "       connections HOST:PORT AT_ONCE SECONDS |\n"
    "       arrivals SINK HOST:PORT CONNECTIONS SECONDS |\n"
    "       datagrams HOST:PORT FLOWS BYTES SECONDS |\n"
    "       frames-out HOST:PORT BYTES SECONDS | frames-in HOST:PORT BYTES |\n"
    "       path NAMESPACE NAMESPACE MILLISECONDS_ONE_WAY MBPS\n";

/// The words after the name of what to do.
class Words {
 public:
  explicit Words(std::vector<std::string> words) : words_(std::move(words)) {}

  [[nodiscard]] bool are(const char* name, std::size_t count) const {
    return !words_.empty() && words_[0] == name && words_.size() == count + 1;
  }
  [[nodiscard]] const std::string& text(std::size_t i) const { return words_[i]; }
  [[nodiscard]] sockaddr_in address(std::size_t i) const {
    return address_of(words_[i], ZeroPort::refused);
  }
  [[nodiscard]] unsigned connections(std::size_t i) const {
    return number_of("CONNECTIONS", words_[i], 1U, 100'000U);
  }
  [[nodiscard]] double seconds(std::size_t i, double least = 0.01) const {
    return number_of("SECONDS", words_[i], least, 3600.0);
  }
  [[nodiscard]] std::size_t frame(std::size_t i) const {
    return number_of<std::size_t>("BYTES", words_[i], 1, 1U << 30U);
  }

 private:
  std::vector<std::string> words_;
};

int run(const Words& words) {
  if (words.are("sink", 1)) {
    serve(words.text(1));
  } else if (words.are("throughput", 3)) {
    throughput(words.address(1), words.connections(2), words.seconds(3));
  } else if (words.are("ping-pong", 3)) {
    ping_pong(words.address(1), number_of("BYTES", words.text(2), 1U, 1U << 30U),
              number_of("ROUNDS", words.text(3), 1U, 100'000'000U));
  } else if (words.are("arrivals", 4)) {
    arrivals(words.address(1), words.address(2), words.connections(3), words.seconds(4, 1));
  } else if (words.are("connections", 3)) {
    connections(words.address(1), words.connections(2), words.seconds(3));
  } else if (words.are("idle", 3)) {
    idle(words.address(1), words.address(2), words.connections(3));
  } else if (words.are("datagrams", 4)) {
    datagrams(words.address(1), words.connections(2),
              number_of<std::size_t>("BYTES", words.text(3), 64, 65'507), words.seconds(4));
  } else if (words.are("frames-out", 3)) {
    frames_out(words.address(1), words.frame(2), words.seconds(3));
  } else if (words.are("frames-in", 2)) {
    frames_in(words.address(1), words.frame(2));
  } else if (words.are("path", 4)) {
    path(words.text(1), words.text(2), number_of("MILLISECONDS", words.text(3), 0.0, 10'000.0),
         number_of("MBPS", words.text(4), 0.1, 1e6));
  } else {
    std::fputs(usage, stderr);
    return 2;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // sendfile() cannot be told to leave it
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  try {
    return run(Words({argv + 1, argv + argc}));
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "load: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "load: %s\n", error.what());
    return 1;
  }
}

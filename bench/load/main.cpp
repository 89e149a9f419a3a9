// Load for ./dev bench: a sink, and what drives connections to it. Moving the bytes costs as little
// here as it can (sendfile out of memory, MSG_TRUNC instead of a copy), so that whatever lies
// between the two ends is what is measured. Every result is one line of JSON.
#include <sys/mman.h>
#include <sys/sendfile.h>

#include <algorithm>
#include <atomic>
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
              microseconds[rounds / 2], microseconds[rounds * 99 / 100]);
  for (unsigned percent = 0; percent < 100; ++percent)
    std::printf("%s%.2f", percent == 0 ? "" : ", ", microseconds[rounds * percent / 100]);
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
    } else if (words.size() == 4 && words[0] == "connections") {
      connections(address_of(words[1], ZeroPort::refused),
                  static_cast<unsigned>(std::stoul(words[2])), std::stod(words[3]));
    } else if (words.size() == 4 && words[0] == "idle") {
      idle(address_of(words[1], ZeroPort::refused), address_of(words[2], ZeroPort::refused),
           static_cast<unsigned>(std::stoul(words[3])));
    } else if (words.size() == 5 && words[0] == "datagrams") {
      datagrams(address_of(words[1], ZeroPort::refused),
                static_cast<unsigned>(std::stoul(words[2])), std::stoul(words[3]),
                std::stod(words[4]));
    } else if (words.size() == 5 && words[0] == "path") {
      path(words[1], words[2], std::stod(words[3]), std::stod(words[4]));
    } else {
      std::fprintf(stderr,
                   "Usage: bench_load sink HOST:PORT | throughput HOST:PORT CONNECTIONS SECONDS |\n"
                   "       ping-pong HOST:PORT BYTES ROUNDS | idle SINK HOST:PORT CONNECTIONS |\n"
                   "       connections HOST:PORT AT_ONCE SECONDS |\n"
                   "       arrivals SINK HOST:PORT CONNECTIONS SECONDS |\n"
                   "       datagrams HOST:PORT FLOWS BYTES SECONDS |\n"
                   "       path NAMESPACE NAMESPACE MILLISECONDS_ONE_WAY MBPS\n");
      return 2;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "load: %s\n", error.what());
    return 1;
  }
  return 0;
}

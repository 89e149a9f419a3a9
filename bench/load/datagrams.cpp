#include <netinet/udp.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <thread>
#include <utility>

#include "common.hpp"

namespace scistream::bench {

namespace {

int datagram_socket(const sockaddr_in& address, bool server) {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int room = 4 << 20;
  ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  ::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  if ((server ? ::bind(socket, name, sizeof address) : ::connect(socket, name, sizeof address)) !=
      0) {
    fail(server ? "bind" : "connect");
  }
  return socket;
}

/// The sink answers every so many of a flow, which is what lets the sender go on.
constexpr std::uint32_t answered_every = 16;
/// Under way at most, of a flow.
constexpr std::uint32_t window = 64;
/// Instead of a number: not one of the flow, but asks how many of it have come.
constexpr std::uint32_t question = 0;

struct Header {
  std::uint32_t number = question;  ///< Of the datagram in its flow.
  std::uint32_t padding = 0;
  std::uint64_t arrived = 0;  ///< In an answer: so many of that sender's have come, ever.
};

/// What one flow has got through, and what was lost of it.
struct Flow {
  std::uint64_t arrived = 0;
  std::uint64_t lost = 0;
};

bool readable(int socket, int milliseconds) {
  pollfd wait{socket, POLLIN, 0};
  return ::poll(&wait, 1, milliseconds) > 0;
}

/// How many datagrams of this socket have come to the sink, which it answers after them.
std::uint64_t arrived(int socket) {
  const Header asked;
  for (int attempt = 0; attempt < 20; ++attempt) {
    if (::send(socket, &asked, sizeof asked, 0) < 0 && errno != ECONNREFUSED) fail("send");
    Header header;
    while (readable(socket, 100)) {
      if (::recv(socket, &header, sizeof header, MSG_DONTWAIT) == sizeof header &&
          header.number == question) {
        return header.arrived;
      }
    }
  }
  throw std::runtime_error("the sink does not answer");
}

/// Keeps a window of datagrams under way for so long.
Flow run_flow(int socket, std::size_t size, double seconds) {
  std::vector<char> message(size, 'x');
  std::uint32_t sent = 0;
  std::uint32_t answered = 0;
  const std::uint64_t before = arrived(socket);
  const auto start = Clock::now();
  while (seconds_since(start) < seconds) {
    while (sent - answered < window) {
      const Header header{++sent};
      std::memcpy(message.data(), &header, sizeof header);
      if (::send(socket, message.data(), message.size(), 0) < 0 && errno != ECONNREFUSED)
        fail("send");
    }
    constexpr int lost_after_ms = 50;
    if (!readable(socket, lost_after_ms)) {
      answered = sent;  // those are given up
      continue;
    }
    Header header;
    while (::recv(socket, &header, sizeof header, MSG_DONTWAIT) == sizeof header)
      if (header.number - answered <= window) answered = header.number;
  }
  const std::uint64_t came = arrived(socket) - before;
  return {came, sent - came};
}

}  // namespace

void serve_datagrams(const sockaddr_in& address) {
  const int socket = datagram_socket(address, true);
  std::vector<char> buffer(1 << 16);
  std::map<std::pair<in_addr_t, in_port_t>, std::uint64_t> flows;
  for (;;) {
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t got = ::recvfrom(socket, buffer.data(), buffer.size(), 0,
                                   reinterpret_cast<sockaddr*>(&from), &size);
    if (got < static_cast<ssize_t>(sizeof(Header))) continue;
    Header header;
    std::memcpy(&header, buffer.data(), sizeof header);
    std::uint64_t& count = flows[{from.sin_addr.s_addr, from.sin_port}];
    if (header.number != question) ++count;
    if (header.number % answered_every != 0) continue;
    header.arrived = count;
    (void)::sendto(socket, &header, sizeof header, 0, reinterpret_cast<const sockaddr*>(&from),
                   size);
  }
}

/// Each flow keeps a window of datagrams under way, which the sink answers.
void datagrams(const sockaddr_in& address, unsigned flows, std::size_t size, double seconds) {
  std::vector<Flow> results(flows);
  std::vector<std::thread> threads;
  std::atomic<bool> failed{false};
  threads.reserve(flows);
  const auto start = Clock::now();
  for (Flow& result : results) {
    threads.emplace_back([&] {
      try {
        const int socket = datagram_socket(address, false);
        result = run_flow(socket, size, seconds);
        ::close(socket);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "load: %s\n", error.what());
        failed = true;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  if (failed) throw std::runtime_error("a flow failed");
  const double took = seconds_since(start);
  Flow total;
  for (const Flow& flow : results) {
    total.arrived += flow.arrived;
    total.lost += flow.lost;
  }
  std::printf("{\"bytes\": %llu, \"seconds\": %.6f, \"datagrams\": %llu, \"lost\": %llu}\n",
              static_cast<unsigned long long>(total.arrived * size), took,
              static_cast<unsigned long long>(total.arrived),
              static_cast<unsigned long long>(total.lost));
}

}  // namespace scistream::bench

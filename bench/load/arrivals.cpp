#include <sys/mman.h>
#include <sys/sendfile.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>

#include "common.hpp"

namespace scistream::bench {

/// Is the sink itself, and says when bytes come: what most and least came within a second, the most
/// within 10 ms, and the least and largest share of a connection.
void arrivals(const sockaddr_in& sink, const sockaddr_in& address, unsigned connections,
              double seconds) {
  constexpr std::chrono::milliseconds settling{500};
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
  if (total == 0) throw std::runtime_error("nothing arrived");
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

}  // namespace scistream::bench

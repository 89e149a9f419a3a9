#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <memory>
#include <thread>

#include "common.hpp"

namespace scistream::bench {

namespace {

/// Opens a point-to-point interface `path` in the network namespace of that name.
int interface_in(const std::string& name) {
  const int space = ::open(("/run/netns/" + name).c_str(), O_RDONLY | O_CLOEXEC);
  if (space < 0 || ::setns(space, CLONE_NEWNET) != 0) fail("setns");
  ::close(space);
  const int tunnel = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tunnel < 0) fail("/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strncpy(request.ifr_name, "path", IFNAMSIZ - 1);
  if (::ioctl(tunnel, TUNSETIFF, &request) != 0) fail("TUNSETIFF");
  return tunnel;
}

struct Packet {
  Clock::time_point due;
  std::unique_ptr<char[]> bytes;
  std::size_t size;
};

/// One direction: what comes in leaves a delay later, at the rate of the path at most. What more
/// than a quarter of a second of that rate would have to wait for is dropped, as a router would.
void carry(int in, int out, Clock::duration delay, double bytes_per_second) {
  constexpr std::size_t most_packet = 1 << 16;
  constexpr std::chrono::milliseconds most_queue{250};
  std::deque<Packet> queue;
  Clock::time_point free_at = Clock::now();
  std::vector<char> buffer(most_packet);
  for (;;) {
    const auto now = Clock::now();
    for (; !queue.empty() && queue.front().due <= now; queue.pop_front())
      (void)!::write(out, queue.front().bytes.get(), queue.front().size);
    bool came = false;
    for (int burst = 0; burst < 32; ++burst) {
      const ssize_t got = ::read(in, buffer.data(), buffer.size());
      if (got < 0 && errno == EAGAIN) break;
      if (got <= 0) fail("read");
      came = true;
      const auto size = static_cast<std::size_t>(got);
      free_at = std::max(free_at, now);
      if (free_at - now > most_queue) continue;
      free_at += std::chrono::duration_cast<Clock::duration>(
          std::chrono::duration<double>(static_cast<double>(size) / bytes_per_second));
      Packet packet{free_at + delay, std::make_unique_for_overwrite<char[]>(size), size};
      std::memcpy(packet.bytes.get(), buffer.data(), size);
      queue.push_back(std::move(packet));
    }
    if (came) continue;
    timespec left{1, 0};
    if (!queue.empty()) {
      const auto wait = std::max(Clock::duration::zero(), queue.front().due - Clock::now());
      const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(wait).count();
      left = {ns / 1'000'000'000, ns % 1'000'000'000};
    }
    pollfd wait{in, POLLIN, 0};
    ::ppoll(&wait, 1, &left, nullptr);
  }
}

}  // namespace

/// A path between two network namespaces: so long one way, so fast each way.
void path(const std::string& one, const std::string& other, double milliseconds, double mbps) {
  const int first = interface_in(one);
  const int second = interface_in(other);
  const auto delay = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double, std::milli>(milliseconds));
  std::printf("path ready\n");
  std::fflush(stdout);
  const double bytes_per_second = mbps * 1e6 / 8;
  std::thread back([=] { carry(second, first, delay, bytes_per_second); });
  carry(first, second, delay, bytes_per_second);
}

}  // namespace scistream::bench

#include <cstdio>

#include "common.hpp"

namespace scistream::bench {

/// Listens there, and sends one buffer of `size` bytes again and again to the first who connects.
void frames_out(sockaddr_in address, std::size_t size, double seconds) {
  const int listener = listen_on(address);
  std::printf("frames ready\n");
  std::fflush(stdout);
  const int socket = ::accept(listener, nullptr, nullptr);
  if (socket < 0) fail("accept");
  no_delay(socket);
  const std::vector<char> frame(size, 'x');
  const auto start = Clock::now();
  while (seconds_since(start) < seconds) send_all(socket, frame.data(), frame.size());
  ::shutdown(socket, SHUT_WR);
  char last = 0;
  (void)receive_all(socket, &last, 1);  // until the other end has had it all
  ::close(socket);
}

/// Reads frames into one buffer until the end, and says what came from the first one on.
void frames_in(const sockaddr_in& address, std::size_t size) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail("connect");
  std::vector<char> frame(size);
  if (!receive_all(socket, frame.data(), size)) throw std::runtime_error("nothing arrived");
  const auto start = Clock::now();
  std::uint64_t bytes = 0;
  while (receive_all(socket, frame.data(), size)) bytes += size;
  std::printf("{\"bytes\": %llu, \"seconds\": %.6f}\n", static_cast<unsigned long long>(bytes),
              seconds_since(start));
  ::close(socket);
}

}  // namespace scistream::bench

#include "relay/datagram_frames.hpp"

namespace scistream::relay {

Frames read_frames(std::span<const std::uint8_t> stream, std::vector<net::Datagrams>& found) {
  Frames frames;
  for (;;) {
    const auto left = stream.subspan(frames.consumed);
    if (left.size() < frame_header) return frames;
    const std::size_t size = static_cast<std::size_t>(left[0]) << 8U | left[1];
    if (size > net::most_datagram) {
      frames.good = false;
      return frames;
    }
    if (left.size() < frame_header + size) return frames;
    found.push_back({left.data() + frame_header, size, size, {}});
    frames.consumed += frame_header + size;
  }
}

}  // namespace scistream::relay

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "net/udp.hpp"

namespace scistream::relay {

/// Datagrams in a stream of bytes: each one preceded by its length in two bytes, the most
/// significant first. Lengths past net::most_datagram do not occur.
inline constexpr std::size_t frame_header = 2;
inline constexpr std::size_t most_frame = frame_header + net::most_datagram;

/// What a piece of such a stream begins with.
struct Frames {
  std::size_t consumed = 0;  ///< Bytes of whole frames; the rest begins another one.
  bool good = true;          ///< False: a length that does not occur, behind the last whole frame.
};

/// Appends the datagrams of all whole frames in `stream` to `found`, which point into it.
Frames read_frames(std::span<const std::uint8_t> stream, std::vector<net::Datagrams>& found);

}  // namespace scistream::relay

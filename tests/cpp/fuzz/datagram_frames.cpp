// Frames of datagrams that a peer sends, in pieces of any size.
#include "relay/datagram_frames.hpp"

#include <algorithm>
#include <vector>

#include "fuzz.hpp"

using namespace scistream;
using namespace scistream::relay;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // All at once, and a few bytes at a time: the same datagrams.
  const std::size_t step = data[0] % 31U + 1;
  const std::vector<std::uint8_t> stream(data + 1, data + size);
  std::vector<net::Datagrams> whole;
  const Frames all = read_frames(stream, whole);
  require(all.consumed <= stream.size());

  std::vector<std::size_t> sizes;
  std::size_t at = 0;
  for (std::size_t end = 0; at <= stream.size();) {
    end = std::min(end + step, stream.size());
    std::vector<net::Datagrams> found;
    const Frames some = read_frames({stream.data() + at, end - at}, found);
    for (const net::Datagrams& each : found) {
      require(each.data >= stream.data() && each.data + each.size <= stream.data() + end);
      sizes.push_back(each.size);
    }
    at += some.consumed;
    if (!some.good) {
      require(!all.good);
      break;
    }
    if (end == stream.size()) break;
  }
  require(at == all.consumed && sizes.size() == whole.size());
  for (std::size_t i = 0; i < sizes.size(); ++i) require(sizes[i] == whole[i].size);
  return 0;
}

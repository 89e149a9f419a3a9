// The state of a connection that another process hands over.
#include "relay/connection_state.hpp"

#include "fuzz.hpp"

using namespace scistream;
using namespace scistream::relay;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto state = unpack({data, size}, {}, {});
  if (!state) return 0;
  // What is understood is written down in one way only.
  const Secret again = pack(*state);
  require(again == Secret(std::span(data, size)));
  return 0;
}

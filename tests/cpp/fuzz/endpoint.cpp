// host:port, lists of it, port ranges.
#include "base/endpoint.hpp"

#include "fuzz.hpp"

using namespace scistream;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = text_of(data, size);
  if (const auto endpoint = parse_endpoint(text, ZeroPort::allowed)) {
    const auto again = parse_endpoint(to_string(*endpoint), ZeroPort::allowed);
    require(again.ok() && *again == *endpoint);
  }
  if (const auto all = parse_endpoints(text)) {
    const auto again = parse_endpoints(to_string(*all));
    require(again.ok() && *again == *all);
  }
  if (const auto range = parse_port_range(text)) {
    require(range->first >= 1 && range->first <= range->last);
    const auto again = parse_port_range(to_string(*range));
    require(again.ok() && *again == *range);
  }
  (void)is_loopback(text);
  return 0;
}

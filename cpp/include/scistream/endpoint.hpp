#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "scistream/error.hpp"
#include "scistream/export.hpp"

namespace scistream::inline v0 {

/// A host (name, IPv4 or IPv6 address, without brackets) and a TCP port.
struct Endpoint {
  std::string host;
  std::uint16_t port = 0;

  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

/// `host:port`, with brackets around an IPv6 address.
SCISTREAM_EXPORT std::string to_string(const Endpoint& endpoint);

/// Joins with commas.
SCISTREAM_EXPORT std::string to_string(const std::vector<Endpoint>& endpoints);

enum class ZeroPort { refused, allowed };

/// Parses `host:port` or `[v6]:port`. The error names the text and the form expected.
SCISTREAM_EXPORT Result<Endpoint> parse_endpoint(std::string_view text,
                                                 ZeroPort zero = ZeroPort::refused);

/// Parses a comma list of endpoints; empty entries are errors, an empty text is an empty list.
SCISTREAM_EXPORT Result<std::vector<Endpoint>> parse_endpoints(std::string_view text);

/// `host:port` strings, as they stand on the wire.
SCISTREAM_EXPORT std::vector<std::string> to_strings(const std::vector<Endpoint>& endpoints);

/// An inclusive range of TCP ports, 1 ≤ first ≤ last.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;

  [[nodiscard]] int size() const noexcept { return last - first + 1; }
  [[nodiscard]] bool contains(std::uint16_t port) const noexcept {
    return first <= port && port <= last;
  }
  friend auto operator<=>(const PortRange&, const PortRange&) = default;
};

SCISTREAM_EXPORT std::string to_string(PortRange range);

/// Parses `FIRST-LAST` or a single port.
SCISTREAM_EXPORT Result<PortRange> parse_port_range(std::string_view text);

}  // namespace scistream::inline v0

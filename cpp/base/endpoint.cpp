#include "base/endpoint.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>

#include "base/text.hpp"

namespace scistream {

namespace {

/// The name of a network interface (netdevice(7)).
constexpr std::size_t longest_zone = 15;
/// A whole name, and the port after it.
constexpr std::size_t longest_shown = 260;

Error bad_endpoint(std::string_view text, std::string_view why) {
  return {Cause::invalid_argument, "bad address '" + shown(text, longest_shown) + "': " +
                                       std::string(why) + " (expected HOST:PORT or [IPV6]:PORT)"};
}

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

}  // namespace

std::string v0::to_string(const Endpoint& endpoint) {
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  return (v6 ? "[" + endpoint.host + "]" : endpoint.host) + ":" + std::to_string(endpoint.port);
}

std::string v0::to_string(const std::vector<Endpoint>& endpoints) {
  std::string joined;
  for (const Endpoint& endpoint : endpoints) {
    if (!joined.empty()) joined += ',';
    joined += to_string(endpoint);
  }
  return joined;
}

Result<Endpoint> v0::parse_endpoint(std::string_view text, ZeroPort zero) {
  std::string_view host;
  std::string_view port;
  if (const auto scheme = text.find("://"); scheme != std::string_view::npos) {
    return bad_endpoint(text, "leave '" + shown(text.substr(0, scheme + 3)) + "' out");
  }
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return bad_endpoint(text, "']' is missing");
    host = text.substr(1, close - 1);
    in6_addr address{};
    const std::string plain(host.substr(0, host.find('%')));
    std::string_view zone = host.substr(plain.size());
    const bool has_zone = !zone.empty();
    if (has_zone) zone.remove_prefix(1);
    // Behind a NUL, inet_pton would see nothing of it.
    if (plain.find('\0') != std::string::npos ||
        inet_pton(AF_INET6, plain.c_str(), &address) != 1 || (has_zone && zone.empty()) ||
        zone.size() > longest_zone || !std::all_of(zone.begin(), zone.end(), is_host_character)) {
      return bad_endpoint(text, "not an IPv6 address between the brackets");
    }
    if (close + 1 >= text.size() || text[close + 1] != ':') {
      return bad_endpoint(text, "the port is missing");
    }
    port = text.substr(close + 2);
  } else {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return bad_endpoint(text, "the port is missing");
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (host.empty()) return bad_endpoint(text, "the host is missing");
    if (host.find(':') != std::string_view::npos) {
      return bad_endpoint(text, "an IPv6 address needs brackets");
    }
    if (host.size() > 253 || !std::all_of(host.begin(), host.end(), is_host_character)) {
      return bad_endpoint(text, "not a host name");
    }
  }
  const auto number = parse_number("port", port, zero == ZeroPort::allowed ? 0 : 1, 65535);
  if (!number) return bad_endpoint(text, number.error().message);
  return Endpoint{std::string(host), static_cast<std::uint16_t>(*number)};
}

Result<std::vector<Endpoint>> v0::parse_endpoints(std::string_view text) {
  std::vector<Endpoint> endpoints;
  while (!text.empty()) {
    const auto comma = text.find(',');
    auto endpoint = parse_endpoint(text.substr(0, comma));
    if (!endpoint) return endpoint.error();
    endpoints.push_back(std::move(*endpoint));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
    if (text.empty()) return bad_endpoint("", "the list ends with a comma");
  }
  return endpoints;
}

std::vector<std::string> v0::to_strings(const std::vector<Endpoint>& endpoints) {
  std::vector<std::string> texts;
  texts.reserve(endpoints.size());
  for (const Endpoint& endpoint : endpoints) texts.push_back(to_string(endpoint));
  return texts;
}

std::string v0::to_string(PortRange range) {
  return std::to_string(range.first) + "-" + std::to_string(range.last);
}

Result<PortRange> v0::parse_port_range(std::string_view text) {
  const auto dash = text.find('-');
  const auto first = parse_number("first port", text.substr(0, dash), 1, 65535);
  if (!first)
    return Error{Cause::invalid_argument,
                 "bad port range '" + shown(text) + "': " + first.error().message};
  if (dash == std::string_view::npos) {
    return PortRange{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*first)};
  }
  const auto last = parse_number("last port", text.substr(dash + 1), *first, 65535);
  if (!last)
    return Error{Cause::invalid_argument,
                 "bad port range '" + shown(text) + "': " + last.error().message};
  return PortRange{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
}

Result<long long> parse_number(std::string_view what, std::string_view text, long long low,
                               long long high) {
  long long number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < low || number > high) {
    return Error{Cause::invalid_argument, std::string(what) + " '" + shown(text) +
                                              "' is not a number from " + std::to_string(low) +
                                              " to " + std::to_string(high)};
  }
  return number;
}

bool is_loopback(std::string_view host) {
  if (host.find('\0') != std::string_view::npos) return false;
  if (host == "localhost") return true;
  const std::string text(host);
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24U) == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool is_wildcard(std::string_view host) {
  return host.empty() || host == "0.0.0.0" || host == "::";
}

}  // namespace scistream

#include "net/destinations.hpp"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <bit>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <charconv>
#include <cstring>
#include <memory>

#include "base/text.hpp"

namespace scistream::net {

namespace {

using boost::asio::ip::address;
using boost::asio::ip::address_v4;
using boost::asio::ip::address_v6;

constexpr unsigned v4_bits = 32;
constexpr unsigned v6_bits = 128;

Error invalid(std::string_view text) {
  return {Cause::invalid_argument,
          "'" + shown(text) +
              "' is no network; say ADDRESS or ADDRESS/BITS, and [ADDRESS] for IPv6 with ports "
              "(10.0.0.0/8, 192.0.2.7:8000-8100, [2001:db8::]/32:443)"};
}

address plain(const address& any) {
  if (any.is_v6() && any.to_v6().is_v4_mapped())
    return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, any.to_v6());
  return any;
}

/// An interface's scope says nothing of where it goes.
std::vector<std::uint8_t> bytes_of(const address& any) {
  if (any.is_v4()) {
    const auto bytes = any.to_v4().to_bytes();
    return {bytes.begin(), bytes.end()};
  }
  const auto bytes = any.to_v6().to_bytes();
  return {bytes.begin(), bytes.end()};
}

address masked(const address& any, unsigned prefix) {
  if (any.is_v4())
    return address(
        boost::asio::ip::network_v4(any.to_v4(), static_cast<unsigned short>(prefix)).network());
  return address(boost::asio::ip::network_v6(address_v6(any.to_v6().to_bytes()),
                                             static_cast<unsigned short>(prefix))
                     .network());
}

bool parse_small(std::string_view text, unsigned most, unsigned& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value <= most;
}

Destination destination(const char* text) { return *parse_destination(text); }

struct FreeInterfaces {
  void operator()(ifaddrs* all) const { ::freeifaddrs(all); }
};

std::unique_ptr<ifaddrs, FreeInterfaces> interfaces() {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return nullptr;
  return std::unique_ptr<ifaddrs, FreeInterfaces>(all);
}

/// Also of a netmask.
bool read(const sockaddr* from, address& to) {
  if (from == nullptr) return false;
  if (from->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, from, sizeof(v4));
    to = address_v4(ntohl(v4.sin_addr.s_addr));
    return true;
  }
  if (from->sa_family != AF_INET6) return false;
  sockaddr_in6 v6{};
  std::memcpy(&v6, from, sizeof(v6));
  address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  to = address_v6(bytes);
  return true;
}

bool is_link_local(const address& any) {
  return any.is_v6() ? any.to_v6().is_link_local() : (any.to_v4().to_uint() >> 16U) == 0xa9feU;
}

bool among(const std::vector<Destination>& all, const address& where, std::uint16_t port) {
  return std::any_of(all.begin(), all.end(), [&](const Destination& each) {
    return port >= each.ports.first && port <= each.ports.last && each.network.contains(where);
  });
}

}  // namespace

bool Network::contains(const boost::asio::ip::address& other) const {
  const auto where = plain(other);
  return where.is_v4() == address.is_v4() && bytes_of(masked(where, prefix)) == bytes_of(address);
}

Result<Network> parse_network(std::string_view text) {
  const auto slash = text.find('/');
  std::string host(text.substr(0, slash));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  boost::system::error_code ec;
  const address found = boost::asio::ip::make_address(host, ec);
  // Behind a NUL, make_address sees nothing of it.
  if (ec || host.find_first_of(std::string("%\0", 2)) != std::string::npos) return invalid(text);
  const unsigned bits = found.is_v4() ? v4_bits : v6_bits;
  unsigned prefix = bits;
  if (slash != std::string_view::npos && !parse_small(text.substr(slash + 1), bits, prefix))
    return invalid(text);
  if (plain(found).is_v4() && found.is_v6()) {
    if (prefix < v6_bits - v4_bits) return invalid(text);
    prefix -= v6_bits - v4_bits;
  }
  return Network{masked(plain(found), prefix), prefix};
}

std::string to_string(const Network& network) {
  const unsigned bits = network.address.is_v4() ? v4_bits : v6_bits;
  const std::string host = network.address.is_v4() ? network.address.to_string()
                                                   : "[" + network.address.to_string() + "]";
  return network.prefix == bits ? host : host + "/" + std::to_string(network.prefix);
}

Result<Destination> parse_destination(std::string_view text) {
  // Ports stand behind the last colon that is not one of an IPv6 address.
  const auto bracket = text.rfind(']');
  const bool is_bare_v6 =
      bracket == std::string_view::npos && std::count(text.begin(), text.end(), ':') > 1;
  const auto colon = is_bare_v6 ? std::string_view::npos
                                : text.find(':', bracket == std::string_view::npos ? 0 : bracket);
  auto network = parse_network(text.substr(0, colon));
  if (!network) return invalid(text);
  Destination destination{std::move(*network)};
  if (colon == std::string_view::npos) return destination;
  std::string ports(text.substr(colon + 1));
  if (ports.find('-') == std::string::npos) ports += "-" + ports;
  const auto range = parse_port_range(ports);
  if (!range) return invalid(text);
  destination.ports = *range;
  return destination;
}

std::string to_string(const Destination& destination) {
  const std::string network = to_string(destination.network);
  const auto [first, last] = destination.ports;
  if (first == 1 && last == 65535) return network;
  return network + ":" + std::to_string(first) +
         (first == last ? std::string() : "-" + std::to_string(last));
}

bool Destinations::permit(const address& any, std::uint16_t port) const {
  address where = plain(any);
  // The kernel takes no address for this machine's own.
  if (where.is_unspecified()) {
    where = where.is_v4() ? address(address_v4::loopback()) : address(address_v6::loopback());
  }
  return (allowed.empty() || among(allowed, where, port)) && !among(denied, where, port);
}

bool Destinations::may_permit(const Endpoint& target) const {
  boost::system::error_code ec;
  const address where = boost::asio::ip::make_address(target.host, ec);
  return ec || permit(where, target.port);
}

std::vector<std::string> Destinations::to_strings() const {
  std::vector<std::string> texts;
  for (const Destination& each : allowed) texts.push_back(to_string(each));
  for (const Destination& each : denied) texts.push_back("!" + to_string(each));
  return texts;
}

Result<Destinations> Destinations::parse(const std::vector<std::string>& texts) {
  Destinations all;
  for (const std::string& text : texts) {
    const bool is_denied = text.starts_with('!');
    auto one = parse_destination(std::string_view(text).substr(is_denied ? 1 : 0));
    if (!one) return one.error();
    (is_denied ? all.denied : all.allowed).push_back(std::move(*one));
  }
  return all;
}

std::string owned_by_peer(const address& peer) {
  const address where = plain(peer);
  if (where.is_v4()) return where.to_string();
  constexpr unsigned half = 64;
  return masked(where, half).to_string();
}

std::string owned_by_peer(const std::string& host) {
  boost::system::error_code ec;
  const address peer = boost::asio::ip::make_address(host, ec);
  return ec ? host : owned_by_peer(peer);
}

std::vector<Network> connected_networks() {
  std::vector<Network> networks;
  const auto all = interfaces();
  for (const ifaddrs* each = all.get(); each != nullptr; each = each->ifa_next) {
    address where;
    address mask;
    if ((each->ifa_flags & IFF_UP) == 0 || (each->ifa_flags & IFF_LOOPBACK) != 0 ||
        !read(each->ifa_addr, where) || !read(each->ifa_netmask, mask) || is_link_local(where))
      continue;
    unsigned prefix = 0;
    for (const std::uint8_t byte : bytes_of(mask)) prefix += std::popcount(byte);
    const Network network{masked(where, prefix), prefix};
    if (std::find(networks.begin(), networks.end(), network) == networks.end())
      networks.push_back(network);
  }
  return networks;
}

std::vector<Destination> loopback_destinations() {
  return {destination("127.0.0.0/8"), destination("::1")};
}

std::vector<Destination> special_destinations() {
  std::vector<Destination> all;
  for (const char* each :
       {"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::", "::1",
        "fe80::/10", "fec0::/10", "ff00::/8", "fd00:ec2::254", "100.100.100.200", "192.0.0.192",
        // The same behind NAT64.
        "64:ff9b::a9fe:0/112", "64:ff9b::7f00:0/104"})
    all.push_back(destination(each));
  return all;
}

}  // namespace scistream::net

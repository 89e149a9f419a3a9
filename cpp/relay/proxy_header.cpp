#include "relay/proxy_header.hpp"

#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <string_view>

namespace scistream::relay {

namespace {

namespace ip = boost::asio::ip;

constexpr std::string_view signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr char version_2_proxied = 0x21;
constexpr char tcp_over_four = 0x11;
constexpr char tcp_over_six = 0x21;

/// As it is on the wire.
ip::address plain(const ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return ip::make_address_v4(ip::v4_mapped, address.to_v6());
  return address;
}

template <class Address>
void append(std::string& header, const Address& address) {
  for (const std::uint8_t byte : address.to_bytes()) header.push_back(static_cast<char>(byte));
}

void append(std::string& header, std::uint16_t number) {
  header.push_back(static_cast<char>(number >> 8U));
  header.push_back(static_cast<char>(number & 0xffU));
}

ip::address_v6 six(const ip::address& address) {
  return address.is_v6() ? address.to_v6() : ip::make_address_v6(ip::v4_mapped, address.to_v4());
}

}  // namespace

std::string proxy_header(const ip::tcp::endpoint& client, const ip::tcp::endpoint& listener) {
  const ip::address from = plain(client.address());
  const ip::address to = plain(listener.address());
  const bool four = from.is_v4() && to.is_v4();
  std::string addresses;
  for (const ip::address& each : {from, to}) {
    if (four) {
      append(addresses, each.to_v4());
    } else {
      append(addresses, six(each));
    }
  }
  append(addresses, client.port());
  append(addresses, listener.port());
  std::string header(signature);
  header.push_back(version_2_proxied);
  header.push_back(four ? tcp_over_four : tcp_over_six);
  append(header, static_cast<std::uint16_t>(addresses.size()));
  return header + addresses;
}

}  // namespace scistream::relay

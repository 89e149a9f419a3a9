#pragma once

#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"

namespace scistream::net {

/// All addresses that begin alike, `192.0.2.0/24`.
struct Network {
  boost::asio::ip::address address;
  unsigned prefix = 0;  ///< Bits of the address that count.

  [[nodiscard]] bool contains(const boost::asio::ip::address& other) const;
  friend bool operator==(const Network&, const Network&) = default;
};

/// An address, or ADDRESS/BITS; bits of the address behind them are dropped. `invalid_argument`.
Result<Network> parse_network(std::string_view text);
std::string to_string(const Network& network);

/// Networks with ports: `10.0.0.0/8`, `192.0.2.7:8000-8100`, `[2001:db8::]/32:443`.
struct Destination {
  Network network;
  PortRange ports{1, 65535};
  friend bool operator==(const Destination&, const Destination&) = default;
};

Result<Destination> parse_destination(std::string_view text);
std::string to_string(const Destination& destination);

/// Where connections may go: what is among those allowed, or anywhere if none are, unless it is
/// among those denied. An address counts, however it is written: an IPv4 address in IPv6 is the
/// IPv4 one, and no address (0.0.0.0, ::) is loopback, where it leads.
struct Destinations {
  std::vector<Destination> allowed;
  std::vector<Destination> denied;

  [[nodiscard]] bool permit(const boost::asio::ip::address& address, std::uint16_t port) const;
  /// Where nothing is known of it, such as of a host name, true.
  [[nodiscard]] bool may_permit(const Endpoint& target) const;

  /// One text each, those denied behind a `!`.
  [[nodiscard]] std::vector<std::string> to_strings() const;
  static Result<Destinations> parse(const std::vector<std::string>& texts);

  friend bool operator==(const Destinations&, const Destinations&) = default;
};

/// Destinations that may be replaced while connections ask for them. Any thread.
class SharedDestinations {
 public:
  void replace(Destinations with) {
    const std::lock_guard lock(mutex_);
    destinations_ = std::move(with);
  }
  [[nodiscard]] bool permit(const boost::asio::ip::address& address, std::uint16_t port) const {
    const std::lock_guard lock(mutex_);
    return destinations_.permit(address, port);
  }

 private:
  mutable std::mutex mutex_;
  Destinations destinations_;
};

/// What stands for a peer where peers are counted: its IPv4 address, or the half of its IPv6
/// address that names a network, of which one host owns all.
std::string owned_by_peer(const boost::asio::ip::address& address);
/// The same of a numeric address; what is none stands for itself.
std::string owned_by_peer(const std::string& host);

/// Of this machine's interfaces that are up, without loopback and link-local ones.
std::vector<Network> connected_networks();

/// 127.0.0.0/8 and ::1.
std::vector<Destination> loopback_destinations();
/// What no connection to another machine should go to: addresses of this machine only, of the
/// link, of groups, unassigned ones, and those where clouds keep what is secret of a machine.
std::vector<Destination> special_destinations();

}  // namespace scistream::net

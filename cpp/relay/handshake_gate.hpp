#pragma once

#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "base/clock.hpp"

namespace scistream::relay {

/// Who may try to prove that they have a relay's key: who has failed often may not for a while, and
/// of those that are at it the first one of the busiest address makes room. Not thread-safe.
class HandshakeGate {
 public:
  /// Failures of one address in a row before it has to wait, and how many come back each second.
  static constexpr double burst = 20;
  static constexpr double per_second = 5;
  /// Addresses remembered; the one heard of least recently is forgotten for another.
  static constexpr std::size_t most_addresses = 1024;

  explicit HandshakeGate(std::size_t most_at_once) : most_at_once_(most_at_once) {}

  /// Whether a peer of this address may try.
  [[nodiscard]] bool admits(const std::string& address, Clock::time_point now) const;
  /// It tries; the connection that has to go for it, if any.
  /// It is one of the address that has most of them.
  [[nodiscard]] std::optional<std::uint64_t> begin(std::uint64_t id, const std::string& address);
  /// It is over, well or not.
  void end(std::uint64_t id);
  /// It was over and the peer had not the key: whether to say so, at most once a second for each
  /// address, and how many were not spoken of since.
  struct Report {
    bool say = false;
    std::uint64_t unsaid = 0;
  };
  Report failed(const std::string& address, Clock::time_point now);
  /// Somebody there has the key: what failed before is forgiven.
  void succeeded(const std::string& address) { peers_.erase(address); }

 private:
  struct Peer {
    double tokens = burst;
    Clock::time_point at;  ///< Of the tokens.
    std::optional<Clock::time_point> said;
    std::uint64_t unsaid = 0;
  };
  [[nodiscard]] static double tokens(const Peer& peer, Clock::time_point now);

  std::size_t most_at_once_;
  struct Trying {
    std::uint64_t id;
    std::string address;
  };
  std::deque<Trying> trying_;  ///< In order of arrival.
  std::map<std::string, Peer> peers_;
};

/// What stands for a peer there: its IPv4 address, or the half of its IPv6 address that names a
/// network, of which one host owns all.
std::string gate_address(const boost::asio::ip::address& address);

}  // namespace scistream::relay

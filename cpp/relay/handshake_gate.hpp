#pragma once

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "base/clock.hpp"

namespace scistream::relay {

/// Who may try to prove that they have a relay's key: who has failed often may not for a while, and
/// where many are at it those make room that have been for long, or are of an address that has
/// many, unless somebody there has proved it before. Not thread-safe.
class HandshakeGate {
 public:
  /// Failures of one address in a row before it has to wait, and how many come back each second.
  static constexpr double burst = 20;
  static constexpr double per_second = 5;
  /// Addresses remembered; the one heard of least recently is forgotten for another.
  static constexpr std::size_t most_addresses = 1024;

  /// Longer than an honest peer takes over any distance.
  static constexpr std::chrono::seconds patience{1};

  /// More than this make room once they have been at it for longer than `patience`; twice as many
  /// at once; eight times as many even of addresses that are known to be good.
  explicit HandshakeGate(std::size_t most_at_once) : most_at_once_(most_at_once) {}

  /// Whether a peer of this address may try.
  [[nodiscard]] bool admits(const std::string& address, Clock::time_point now) const;
  /// It tries; the connection that has to go for it, if any.
  [[nodiscard]] std::optional<std::uint64_t> begin(std::uint64_t id, const std::string& address,
                                                   Clock::time_point now);
  /// It is over, well or not.
  void end(std::uint64_t id);
  /// Whether to say so, at most once a second for each address, and how many were not spoken of
  /// since.
  struct Report {
    bool say = false;
    std::uint64_t unsaid = 0;
  };
  /// It was over and the peer had not the key.
  Report failed(const std::string& address, Clock::time_point now);
  /// A peer of this address was not admitted.
  Report turned_away(const std::string& address, Clock::time_point now);
  /// Somebody there has the key: what failed before is forgiven. How many failures were not spoken
  /// of.
  std::uint64_t succeeded(const std::string& address, Clock::time_point now);

 private:
  struct Peer {
    double tokens = burst;
    Clock::time_point at;  ///< Of the tokens.
    std::optional<Clock::time_point> said;
    std::uint64_t unsaid = 0;
  };
  struct Trying {
    std::uint64_t id;
    std::string address;
    Clock::time_point since;
  };
  using Place = std::deque<Trying>::iterator;

  [[nodiscard]] static double tokens(const Peer& peer, Clock::time_point now);
  static Report report(Peer& peer, Clock::time_point now);
  [[nodiscard]] bool is_good(const Trying& trying) const { return good_.contains(trying.address); }
  /// Who makes room; the end if nobody has to.
  Place makes_room(Clock::time_point now);
  /// The first of the address that has most of those that nobody has proved to be good.
  Place first_of_the_busiest();

  std::size_t most_at_once_;
  std::deque<Trying> trying_;                      ///< In order of arrival.
  std::map<std::string, Peer> peers_;              ///< That have failed.
  std::map<std::string, Clock::time_point> good_;  ///< When somebody there last had the key.
};

}  // namespace scistream::relay

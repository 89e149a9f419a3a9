#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "net/destinations.hpp"
#include "relay/crowd.hpp"
#include "relay/shaper.hpp"

namespace scistream::relay {

/// How a relay behaves. Copied into it; nothing here changes afterwards.
struct Options {
  /// How long a target is dialled for a client that waits; then the client is reset.
  std::chrono::milliseconds dial_deadline{30'000};
  std::chrono::milliseconds dial_backoff_first{20};  ///< Pause after the first failed round;
  std::chrono::milliseconds dial_backoff_last{500};  ///< it doubles up to this.
  /// Longest wait for one address to answer before the next is tried.
  std::chrono::milliseconds dial_attempt{5'000};
  /// How long a peer may take to prove that it has the session's key.
  std::chrono::milliseconds handshake_deadline{10'000};
  /// Peers that may be at it at one time, at one relay: who is the longest makes room for others.
  std::size_t most_handshakes = 512;
  int backlog =
      4096;  ///< Clients that may wait unaccepted at each listener, if the system lets so many.
  /// Bytes one direction of one connection holds at most. Pipes past 1 MiB fall out of the cache
  /// and need privileges.
  std::size_t pipe_bytes = 1U << 20U;
  /// Bytes one direction forwards before the other connections of its thread get their turn.
  std::size_t turn_bytes = 512U << 10U;
  /// Where connection ids come from; several relays that share it never give the same one twice.
  /// The relay makes its own if this is empty.
  std::shared_ptr<std::atomic<std::uint64_t>> ids;
  /// Targets that are dialled on the near side, which are applications, are told who connects.
  bool proxy_protocol = false;
  /// Listeners take datagrams as well as connections.
  bool datagrams = false;
  /// Flows at one time, of all relays that share `flows`: addresses of datagrams are easily made
  /// up, and each costs descriptors.
  std::size_t most_flows = 2048;
  std::shared_ptr<std::atomic<std::size_t>> flows;
  /// Those with whom it shares the process's descriptors; by itself if this is empty.
  std::shared_ptr<Crowd> crowd;
  /// A flow of datagrams ends when nothing has moved for so long.
  std::chrono::milliseconds flow_idle{60'000};
  /// Where targets may be, as their names are resolved for each connection; empty: anywhere.
  std::shared_ptr<const net::SharedDestinations> destinations;
  /// What the relay's connections share with those of others, each way; empty: nothing.
  SharedRates facility;
};

}  // namespace scistream::relay

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "scistream/endpoint.hpp"
#include "scistream/error.hpp"
#include "scistream/export.hpp"
#include "scistream/log.hpp"

namespace scistream::inline v0 {

/// A listener to bind, and the target that it feeds.
struct RelayPair {
  Endpoint listener;  ///< An address of this machine; port 0 takes any free one.
  Endpoint target;    ///< Dialled when a client connects, for up to 30 s.
};

/// What a relay is made with.
struct RelayOptions {
  std::vector<RelayPair> pairs;  ///< Not empty.
  std::size_t threads = 0;       ///< That move bytes; 0: one a core.
  LogCallback log;               ///< Empty: nothing is logged.
};

/// What went through a relay. Bytes are payload bytes.
struct RelayStats {
  std::uint64_t bytes_to_client = 0;
  std::uint64_t bytes_to_target = 0;
  std::uint64_t connections_active = 0;
  std::uint64_t connections_total = 0;
  std::uint64_t errors = 0;           ///< Connections that did not end cleanly.
  std::chrono::milliseconds idle{0};  ///< Since bytes last moved or a connection came or went.
};

/// Forwards what its listeners accept to their targets, both ways, as the data server does, without
/// sessions. Owns its listeners, its connections and the threads that move bytes. Every function
/// may be called from any thread, but not from its log callback; one that was moved from may only
/// be destroyed or assigned to.
class SCISTREAM_EXPORT Relay {
 public:
  /// Listens when it returns. `invalid_argument`: an address that is not one of this machine, or no
  /// pairs; `already_exists`: a port is in use; `permission_denied`: a port needs privileges.
  [[nodiscard]] static Result<Relay> open(RelayOptions options);

  Relay(Relay&& other) noexcept;
  Relay& operator=(Relay&& other) noexcept;
  /// Closes it at once.
  ~Relay();

  /// Where it listens, in the order of the pairs.
  [[nodiscard]] std::vector<Endpoint> listeners() const;
  /// What went through it so far; after the close, in all.
  [[nodiscard]] RelayStats stats() const;
  /// Closes the listeners, waits up to `drain` for connections to end by themselves, resets those
  /// that are left, and returns when the ports are free. May be called again.
  void close(std::chrono::milliseconds drain = std::chrono::milliseconds(0));

 private:
  class Impl;
  explicit Relay(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace scistream::inline v0

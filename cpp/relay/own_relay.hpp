#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "net/io_threads.hpp"
#include "relay/relay.hpp"

namespace scistream::relay {

/// A relay and the threads that it runs on, for whoever has none. Owns both, until closed. Any
/// thread.
class OwnRelay {
 public:
  /// `threads`: 0 is one a core. Errors as Relay::open; `invalid_argument` without a pair.
  static Result<std::unique_ptr<OwnRelay>> open(const std::vector<Pair>& pairs, std::size_t threads,
                                                Logger log);

  OwnRelay(const OwnRelay&) = delete;
  OwnRelay& operator=(const OwnRelay&) = delete;
  /// As `close` at once.
  ~OwnRelay();

  [[nodiscard]] const std::vector<Endpoint>& listeners() const noexcept { return listeners_; }
  /// Of a closed one the last.
  [[nodiscard]] Snapshot snapshot() const;
  /// Closes the listeners, waits so long for connections to end, and resets those that are left.
  /// May be called again; with 0 it hurries one that waits.
  void close(std::chrono::milliseconds drain);
  /// A `close` that waits, now or later, resets connections at once.
  void hurry();

 private:
  OwnRelay(std::unique_ptr<net::IoThreads> threads, std::unique_ptr<Relay> relay);
  [[nodiscard]] bool drained(std::chrono::milliseconds limit);
  void forget();

  std::mutex turn_mutex_;     ///< One close after another.
  mutable std::mutex mutex_;  ///< After it: of changes of those below.
  std::condition_variable changed_;
  bool hurries_ = false;
  bool has_drained_ = false;
  std::unique_ptr<net::IoThreads> threads_;
  std::unique_ptr<Relay> relay_;
  const std::vector<Endpoint> listeners_;
  Snapshot last_;
};

}  // namespace scistream::relay

#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "base/clock.hpp"

namespace scistream::relay {

/// Lets the connections of one client be dialled in the order in which they came: some programs
/// tell their connections apart by nothing else, and relays have several threads. Nobody waits long
/// for one that came before, and nobody at all where a client opens many at once. Any thread.
class DialOrder {
 public:
  /// Called on the thread that brings its turn, from within a call about another connection.
  using Go = std::function<void()>;

  /// Longer than those before may take on a path that works.
  static constexpr std::chrono::milliseconds patience{50};

  /// Of more than these, of one client and not dialled yet, none waits.
  static constexpr std::size_t most = 16;

  /// `client` is what those have in common that are kept in order.
  void came(const std::string& client, std::uint64_t id, Clock::time_point now);
  /// It could be dialled: true if it is its turn; else `go` comes, unless it jumps or is over.
  [[nodiscard]] bool ready(const std::string& client, std::uint64_t id, Clock::time_point now,
                           Go go);
  /// It has waited long enough: those before it have lost their place. False if its turn had come
  /// already.
  [[nodiscard]] bool jump(const std::string& client, std::uint64_t id);
  /// It is being dialled, or never will be. Safe to repeat.
  void over(const std::string& client, std::uint64_t id);

 private:
  struct Ticket {
    std::uint64_t id;
    Clock::time_point since;
    Go go;  ///< Of who waits.
  };
  struct Queue {
    std::deque<Ticket> tickets;  ///< Of those that are not dialled yet; not empty.
    bool crowded = false;        ///< Until it is empty, nobody waits.
  };

  std::mutex mutex_;
  std::map<std::string, Queue> queues_;
};

}  // namespace scistream::relay

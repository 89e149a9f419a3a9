#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataserver/data_server.hpp"

namespace scistream::dataserver {

/// What the connections of one session go through. Made with its ports bound: those of a producer
/// session refuse connections until the first update, those of a consumer session let them wait.
///
/// Called on the bookkeeping thread of the data server alone, and never again once it has ended.
/// Callbacks may come on any thread, and before the call returns.
class Forwarder {
 public:
  virtual ~Forwarder() = default;

  /// In listener order.
  [[nodiscard]] virtual std::vector<std::uint16_t> ports() const = 0;
  /// Why an update cannot be done here and now, where the session need not end for it.
  [[nodiscard]] virtual Status check(const UpdateRequest& /*request*/) const { return {}; }
  /// Sets or replaces the targets; live connections keep the target that they have. One at a time.
  /// After an error only end() makes sense.
  virtual void update(const UpdateRequest& request, Callback<void> done) = 0;
  /// Closes the listeners and ends the connections, or waits for their end; `done` comes when the
  /// ports are free. Also amid an update. May be called again with `cut` and no callback, which
  /// brings forward what a drain waits for.
  virtual void end(Ending how, std::function<void()> done) = 0;
  /// Brings what the next two say up to date.
  virtual void refresh(std::function<void()> done) { done(); }
  [[nodiscard]] virtual Counters counters() const = 0;
  [[nodiscard]] virtual std::vector<ConnectionStatus> connections() const = 0;
};

/// One way to forward, and what it needs for all sessions. Called on the bookkeeping thread alone.
class Forwarding {
 public:
  /// What happens to a forwarder by itself, in words; may come on any thread.
  using News = std::function<void(const std::string&)>;

  virtual ~Forwarding() = default;

  /// Without the number of sessions.
  [[nodiscard]] virtual Info info() const = 0;
  /// The request is one that can work. `done` comes once, on any thread, perhaps before this
  /// returns, before the end of the forwarding at the latest.
  virtual void reserve(const ReserveRequest& request, News news,
                       Callback<std::unique_ptr<Forwarder>> done) = 0;
  /// All sessions are being cut, and who waits for that does not want to wait for long.
  virtual void hurry() {}
};

}  // namespace scistream::dataserver

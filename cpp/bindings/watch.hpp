#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bindings/calls.hpp"
#include "bindings/process.hpp"
#include "client/event_queue.hpp"
#include "client/user_client.hpp"
#include "net/fd.hpp"

namespace scistream::bindings {

/// The events of one session as they come, for a loop or an event loop to take. Any thread.
class WatchHandle {
 public:
  /// Watches with `client`, which outlives its calls. `servers` finds where the session is.
  WatchHandle(Calls& calls, client::UserClient& client, std::string uid,
              std::function<Result<std::vector<Endpoint>>()> servers,
              std::chrono::milliseconds period);
  ~WatchHandle();
  WatchHandle(const WatchHandle&) = delete;
  WatchHandle& operator=(const WatchHandle&) = delete;

  /// The next event, or nothing once there will be none; waits for it. Raises why it ended early.
  [[nodiscard]] pybind11::object next();
  /// What has come, without waiting: `(events, whether there may be more)`. Raises as `next`.
  [[nodiscard]] pybind11::tuple take();
  /// Readable while there is something to take.
  [[nodiscard]] int fileno() const;
  /// Nothing comes any more.
  void close();

 private:
  /// What the call and this object share.
  struct Shared {
    net::Fd signal;  ///< Before the queue, which rings it.
    client::EventQueue events{[this] { ring(); }};
    client::Interrupt interrupt;

    void ring() const;
  };

  /// Raises why the watch has ended, unless that is as it should.
  void check_end(const Status& how) const;

  Home home_;
  const std::string uid_;
  const std::shared_ptr<Shared> shared_;
  bool closed_ = false;
};

}  // namespace scistream::bindings

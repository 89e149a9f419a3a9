#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace scistream::cli {

/// Tells systemd, if it asked for it ($NOTIFY_SOCKET): `READY=1`, `STOPPING=1`, … One datagram
/// (sd_notify(3)).
void notify_systemd(const std::string& state);

/// What systemd is told while a program serves, if it asked for it: what it is doing (`STATUS=`),
/// and, for its watchdog ($WATCHDOG_USEC), that it is alive (`WATCHDOG=1`). Each is the answer of
/// the program's own threads to a question: who does not answer is not alive, and is not said to
/// be.
///
/// Owns the thread that asks. Until its destructor returns, `ask` may be called on it.
class Heartbeat {
 public:
  /// Takes what the program is doing, in words. From any thread; once.
  using Answer = std::function<void(std::string)>;
  /// Has `Answer` called on the thread whose progress it is about. Must not block.
  using Ask = std::function<void(Answer)>;

  explicit Heartbeat(Ask ask);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

 private:
  struct State;

  void run(const Ask& ask, std::chrono::microseconds period, bool watched);

  std::shared_ptr<State> state_;  ///< Of answers that are still to come, too.
  std::thread thread_;            ///< None where nobody wants to know.
};

}  // namespace scistream::cli

#pragma once

#include <pybind11/pybind11.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "bindings/process.hpp"
#include "bindings/session_calls.hpp"

namespace scistream::bindings {

/// One session, from its request on. Shares the client; any thread.
class SessionHandle {
 public:
  SessionHandle(const Owned<Client>& client, const Endpoint& prod, const Endpoint& cons,
                client::SessionRequest request);
  SessionHandle(const SessionHandle&) = delete;
  SessionHandle& operator=(const SessionHandle&) = delete;
  /// Without the GIL. A session that nobody got, as Ctrl-C came in between, is released.
  ~SessionHandle();

  /// False if it is still being set up after `timeout`.
  [[nodiscard]] bool wait_ready(std::optional<double> timeout) const;
  /// Until it is set up; Ctrl-C releases it, in the background.
  void wait_or_abandon();
  /// Until it is set up. To cancel that leaves the session to be set up: `begin_release` ends it.
  [[nodiscard]] PendingCall begin_wait() const;
  /// Somebody has it now.
  void hold() noexcept { is_held_ = true; }

  /// Ends it, set up or not; one that never came to be is a success.
  void release(bool drain) const;
  [[nodiscard]] PendingCall begin_release(bool drain) const;
  [[nodiscard]] bool set_rate(long long rate) const { return calls().set_rate(rate); }
  [[nodiscard]] PendingCall begin_set_rate(long long rate) const {
    return calls().begin_set_rate(rate);
  }
  [[nodiscard]] pybind11::tuple status(bool connections) const {
    return calls().status(connections);
  }
  [[nodiscard]] PendingCall begin_status(bool connections) const {
    return calls().begin_status(connections);
  }
  [[nodiscard]] std::unique_ptr<WatchHandle> watch(double period) const {
    return calls().watch(period);
  }

  /// For repr.
  [[nodiscard]] std::string description() const;
  [[nodiscard]] bool ready() const;
  [[nodiscard]] const std::string& uid() const { return uid_; }
  [[nodiscard]] std::vector<std::string> listeners() const { return result().listeners; }
  [[nodiscard]] std::vector<std::string> prod_listeners() const { return result().prod_listeners; }
  [[nodiscard]] std::vector<std::string> targets() const { return result().targets; }
  [[nodiscard]] std::string transport() const { return result().transport; }
  [[nodiscard]] double setup_ms() const;
  [[nodiscard]] pybind11::object states() const;
  [[nodiscard]] pybind11::bytes key(const std::string& role) const;

 private:
  /// What the call and this object share.
  struct SetUp {
    client::Interrupt interrupt;
    std::mutex mutex;
    std::vector<client::StateChange> states;
    std::optional<Result<client::SessionResult>> result;
  };

  /// Raises in another process.
  [[nodiscard]] SessionCalls calls() const { return {*client_, uid_, servers_}; }
  [[nodiscard]] std::function<Status(client::Interrupt&)> ending(bool drain) const;
  /// Ends what nobody waits for.
  [[nodiscard]] Calls::Work abandoned() const;
  [[nodiscard]] client::SessionResult result() const;
  /// What came of the set-up. With the GIL, which nobody who holds the mutex waits for.
  static Result<client::SessionResult> outcome(SetUp& set_up, Call& call);

  Owned<Client> client_;
  const std::string uid_;
  const Secret prod_key_;
  const Secret cons_key_;
  std::vector<Endpoint> servers_;
  std::shared_ptr<SetUp> set_up_;
  std::shared_ptr<Call> call_;
  bool is_held_ = false;  ///< Changed with the GIL.
};

}  // namespace scistream::bindings

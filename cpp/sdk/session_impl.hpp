#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "client/user_client.hpp"
#include "scistream/session.hpp"

namespace scistream::inline v0 {

/// Where a session is, and the client that asked for it. Of both kinds of objects below.
struct SessionPlace {
  std::shared_ptr<client::UserClient> client;
  std::string uid;
  std::vector<Endpoint> servers;
  Secret prod_key;
  Secret cons_key;

  [[nodiscard]] const Secret& app_key(Role role) const {
    return role == Role::producer ? prod_key : cons_key;
  }
};

/// What does not change of a session, and whether it is to end. Any thread.
class [[gnu::visibility("hidden")]] Session::Impl {
 public:
  struct SetUp {
    std::vector<Endpoint> listeners;
    std::vector<Endpoint> prod_listeners;
    std::vector<Endpoint> targets;
    std::string transport;
    std::chrono::microseconds time{0};
    std::vector<StateChange> states;
  };

  Impl(SessionPlace place, SetUp set_up) : place_(std::move(place)), set_up_(std::move(set_up)) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  [[nodiscard]] const SessionPlace& place() const { return place_; }
  [[nodiscard]] const SetUp& set_up() const { return set_up_; }
  Status release();
  Status drain(std::stop_token stop);
  void keep();

 private:
  const SessionPlace place_;
  const SetUp set_up_;
  std::mutex mutex_;
  bool released_ = false;
  bool kept_ = false;
};

/// Owns the thread that a session is set up on. Any thread but that.
class [[gnu::visibility("hidden")]] PendingSession::Impl {
 public:
  /// `request` has the id, and the keys that `place` has.
  Impl(SessionPlace place, Endpoint prod, Endpoint cons, client::SessionRequest request);
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  [[nodiscard]] const SessionPlace& place() const { return place_; }
  [[nodiscard]] std::vector<StateChange> states() const;
  Result<std::unique_ptr<Session::Impl>> wait(std::optional<std::chrono::milliseconds> timeout,
                                              const std::stop_token& stop);

 private:
  void run(const Endpoint& prod, const Endpoint& cons, const client::SessionRequest& request);
  [[nodiscard]] Result<std::unique_ptr<Session::Impl>> hand_out();

  const SessionPlace place_;
  client::Interrupt interrupt_;
  mutable std::mutex mutex_;  ///< Of those below.
  std::condition_variable_any changed_;
  std::vector<StateChange> states_;
  std::optional<Result<client::SessionResult>> result_;
  bool handed_out_ = false;
  std::thread thread_;
};

}  // namespace scistream::inline v0

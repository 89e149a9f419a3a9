#pragma once

#include <pybind11/pybind11.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/calls.hpp"
#include "bindings/pending.hpp"
#include "bindings/watch.hpp"
#include "client/user_client.hpp"

namespace scistream::bindings {

using PendingCall = std::unique_ptr<Pending>;

/// The C++ client, until closed, and what uses it. Owns it; any thread.
class Client {
 public:
  explicit Client(client::ClientOptions options)
      : tls_(options.tls), client_(std::make_unique<client::UserClient>(std::move(options))) {}

  void close() {
    close_and_wait(calls_, [this] { client_.reset(); });
  }

  [[nodiscard]] bool tls() const { return tls_; }
  [[nodiscard]] Calls& calls() { return calls_; }
  /// Within calls only.
  [[nodiscard]] client::UserClient& operator*() const { return *client_; }

 private:
  const bool tls_;
  std::unique_ptr<client::UserClient> client_;
  Calls calls_;
};

/// Blocking work that Ctrl-C, or closing the client, cuts short. `work` takes the Interrupt.
template <class T, class Work>
T interruptible(Client& client, Work work, const std::string& uid = {}) {
  auto interrupt = std::make_shared<client::Interrupt>();
  return blocking<T>(
      client.calls(), [interrupt, work = std::move(work)] { return work(*interrupt); },
      {[interrupt] { interrupt->trigger(); }, {}}, uid);
}

/// Runs to its end what ends a session, also after Ctrl-C; where it waits for live connections,
/// which may be for ever, Ctrl-C ends the wait.
void end_session(Client& client, std::function<Status(client::Interrupt&)> end, bool drain,
                 const std::string& uid);

/// What a client can ask of one session, by waiting or by a Pending. A value; the client outlives
/// the calls.
class SessionCalls {
 public:
  /// Without servers: those where the client remembers the session to be.
  SessionCalls(Client& client, std::string uid, std::vector<Endpoint> servers)
      : client_(&client), uid_(std::move(uid)), servers_(std::move(servers)) {}

  /// Of a release, for a call.
  [[nodiscard]] std::function<Status(client::Interrupt&)> release_work(bool drain) const;

  void release(bool drain) const;
  [[nodiscard]] PendingCall begin_release(bool drain) const;
  /// Whether it is leased everywhere.
  [[nodiscard]] bool set_rate(long long rate) const;
  [[nodiscard]] PendingCall begin_set_rate(long long rate) const;
  [[nodiscard]] pybind11::tuple status(bool connections) const;
  [[nodiscard]] PendingCall begin_status(bool connections) const;
  [[nodiscard]] std::unique_ptr<WatchHandle> watch(double period) const;

 private:
  using Views = std::vector<session::SessionView>;

  /// Within calls only.
  [[nodiscard]] Result<std::vector<Endpoint>> places() const;
  [[nodiscard]] std::function<Result<Views>(client::Interrupt&)> status_work(
      bool connections) const;
  [[nodiscard]] std::function<Result<bool>()> rate_work(long long rate) const;

  Client* client_;
  std::string uid_;
  std::vector<Endpoint> servers_;
};

}  // namespace scistream::bindings

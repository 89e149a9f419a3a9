#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <set>

#include "base/error.hpp"
#include "control/grpc.hpp"

namespace scistream::control {

/// The calls of one channel that gRPC still holds. Each of them holds the channel as well, and gRPC
/// joins its callback threads when the last channel goes, so that one must not go on such a thread:
/// whoever owns the channel closes this first. Thread-safe.
class OpenCalls {
 public:
  /// Counts a call in, or something else that must end before the channel does, such as a probe.
  /// False once closed.
  bool enter(grpc::ClientContext* context = nullptr);
  void leave();
  /// Cancels what is open, refuses what comes, and waits until all of it has gone.
  void close();
  [[nodiscard]] bool is_closed();

 private:
  friend class OpenContext;

  std::mutex mutex_;
  std::condition_variable idle_;
  std::set<grpc::ClientContext*> contexts_;
  std::size_t count_ = 0;
  bool closed_ = false;
};

/// The context of one call, known to its channel's `OpenCalls` as long as it lives. Empty if these
/// were closed before.
class OpenContext {
 public:
  explicit OpenContext(std::shared_ptr<OpenCalls> open);
  OpenContext(const OpenContext&) = delete;
  OpenContext& operator=(const OpenContext&) = delete;
  ~OpenContext();

  explicit operator bool() const { return context_ != nullptr; }
  [[nodiscard]] grpc::ClientContext* get() const { return context_.get(); }
  grpc::ClientContext& operator*() const { return *context_; }
  grpc::ClientContext* operator->() const { return context_.get(); }

  /// Ends the call as `cancelled`. Callable from any thread.
  void cancel();
  /// Why the call failed, which has ended with `status`. gRPC answers CANCELLED for a server that
  /// goes away: where nobody cancelled it here, and no handler of ours has answered, it is
  /// `unavailable`. A handler may have seen the call, as with every lost answer.
  [[nodiscard]] Error error_of(const grpc::Status& status) const;

 private:
  std::shared_ptr<OpenCalls> open_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace scistream::control

#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <utility>

#include "control/grpc.hpp"

namespace scistream::control {

/// One server-streaming rpc fed by events from another thread. Shared by gRPC, which ends it, and
/// by whoever feeds it; `push` and `close` may be called from any thread, also after the end.
template <class Message>
class EventStream : public grpc::ServerWriteReactor<Message>,
                    public std::enable_shared_from_this<EventStream<Message>> {
 public:
  /// More than this many waiting messages and droppable ones are dropped: a slow reader must not
  /// fill the server's memory.
  static constexpr std::size_t most_waiting = 1024;

  /// What keeps the source of events alive; let go of when the stream ends.
  void own(std::shared_ptr<void> source) {
    const std::lock_guard lock(mutex_);
    if (!done_) source_ = std::move(source);
  }

  /// What began the stream, and may still look at its context, has yet to say whether it goes on:
  /// until decide() it does not end, whatever its client does.
  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void decide() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    next();
  }

  /// gRPC's share; given up in OnDone.
  grpc::ServerWriteReactor<Message>* start() {
    self_ = this->shared_from_this();
    return this;
  }

  void push(Message message, bool droppable) {
    const std::lock_guard lock(mutex_);
    if (closing_ || (droppable && waiting_.size() >= most_waiting)) return;
    waiting_.push_back(std::move(message));
    next();
  }

  /// Ends the stream once everything pushed before is written.
  void close(grpc::Status status) {
    const std::lock_guard lock(mutex_);
    if (closing_) return;
    closing_ = true;
    status_ = std::move(status);
    next();
  }

 private:
  void next() {
    if (writing_ || finished_ || held_) return;
    if (!waiting_.empty()) {
      current_ = std::move(waiting_.front());
      waiting_.pop_front();
      writing_ = true;
      this->StartWrite(&current_);
    } else if (closing_) {
      finished_ = true;
      this->Finish(status_);
    }
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) {
      waiting_.clear();
      closing_ = true;
    }
    next();
  }

  void OnCancel() override {
    {
      const std::lock_guard lock(mutex_);
      waiting_.clear();
    }
    close(grpc::Status::CANCELLED);
  }

  void OnDone() override {
    std::shared_ptr<void> source;
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
      closing_ = true;
      source = std::move(source_);
    }
    source.reset();
    const auto last = std::move(self_);
  }

  std::mutex mutex_;
  std::deque<Message> waiting_;
  Message current_;
  grpc::Status status_;
  bool held_ = false;
  bool writing_ = false;
  bool closing_ = false;
  bool finished_ = false;
  bool done_ = false;
  std::shared_ptr<void> source_;
  std::shared_ptr<EventStream> self_;
};

}  // namespace scistream::control

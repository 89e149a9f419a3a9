#pragma once

#include <chrono>
#include <csignal>
#include <functional>
#include <initializer_list>
#include <thread>

namespace scistream::cli {

/// Blocks the signals in this thread and in those it starts from now on, so that `SignalWaiter` or
/// `wait_signal` gets them. Before any other thread exists.
void block_signals(std::initializer_list<int> signals);

/// Waits for one of the blocked signals, `limit` at most; 0 if none came.
int wait_signal(std::initializer_list<int> signals, std::chrono::milliseconds limit);

/// Calls `handle(signal)` on a thread of its own for each blocked signal that comes, until it dies.
class SignalWaiter {
 public:
  SignalWaiter(std::initializer_list<int> signals, std::function<void(int)> handle);
  ~SignalWaiter();
  SignalWaiter(const SignalWaiter&) = delete;
  SignalWaiter& operator=(const SignalWaiter&) = delete;

 private:
  int event_;  ///< Ends the thread.
  int signals_ = -1;
  std::thread thread_;
};

}  // namespace scistream::cli

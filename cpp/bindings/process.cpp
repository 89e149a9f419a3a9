#include "bindings/process.hpp"

#include <unistd.h>

#include <atomic>

#include "bindings/errors.hpp"
#include "control/grpc_log.hpp"

namespace scistream::bindings {

Home::Home() : pid_(::getpid()) {}

bool Home::left() const noexcept { return ::getpid() != pid_; }

void Home::check() const {
  if (!left()) return;
  raise({Cause::failed_precondition,
         "this object belongs to process " + std::to_string(pid_) +
             ", from which this one was forked; make a new one in a process that was started with "
             "multiprocessing's 'spawn' or 'forkserver', or with subprocess"});
}

void about_to_use_grpc() {
  // A process has one gRPC, so this is the one thing that is known for the whole process.
  static std::atomic<int> user{0};
  const int self = ::getpid();
  int first = 0;
  if (user.compare_exchange_strong(first, self)) return control::keep_grpc_quiet();
  if (first == self) return;
  raise({Cause::failed_precondition,
         "this process was forked from process " + std::to_string(first) +
             ", which had used scistream by then, and gRPC does not survive that; start it with "
             "multiprocessing's 'spawn' or 'forkserver', or with subprocess"});
}

}  // namespace scistream::bindings

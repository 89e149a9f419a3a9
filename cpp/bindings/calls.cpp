#include "bindings/calls.hpp"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace py = pybind11;

namespace scistream::bindings {

namespace {

using std::chrono::milliseconds;

/// Ctrl-C is seen within a slice, and raised within a slice and a grace: 0.2 s are allowed.
constexpr milliseconds slice{50};
/// On one machine a cancelled request has given everything back by then.
constexpr milliseconds grace{100};

void ring(const net::Fd& signal) {
  const std::uint64_t one = 1;
  (void)!::write(signal.get(), &one, sizeof one);
}

}  // namespace

void Call::run() {
  try {
    work_();
  } catch (const std::exception& error) {
    exception_ = error.what();
  }
  work_ = nullptr;
  const std::lock_guard lock(mutex_);
  done_ = true;
  ended_.notify_all();
  if (signal_) ring(signal_);
}

int Call::descriptor() {
  const std::lock_guard lock(mutex_);
  if (!signal_) {
    signal_ = net::Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!signal_) throw std::runtime_error("cannot make an event descriptor");
    if (done_) ring(signal_);
  }
  return signal_.get();
}

void Call::interrupt() {
  if (interrupt_) interrupt_();
}

void Call::wait() {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return done_; });
}

bool Call::wait_for(milliseconds limit) {
  std::unique_lock lock(mutex_);
  return ended_.wait_for(lock, limit, [this] { return done_; });
}

Calls::~Calls() {
  close({});
  for (Thread& each : threads_) each.thread.join();
}

std::shared_ptr<Call> Calls::launch(Work work, Work interrupt) {
  threads_.remove_if([](Thread& each) {
    const bool done = each.call->wait_for(milliseconds(0));
    if (done) each.thread.join();
    return done;
  });
  auto call = std::make_shared<Call>(std::move(work), std::move(interrupt));
  // Signals belong to Python's threads, here and in the threads that gRPC starts from here.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread thread([call] { call->run(); });
    pthread_setname_np(thread.native_handle(), "sci-call");
    threads_.push_back({call, std::move(thread)});
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return call;
}

std::shared_ptr<Call> Calls::start(Work work, Work interrupt) {
  const std::lock_guard lock(mutex_);
  if (last_) return nullptr;
  return launch(std::move(work), std::move(interrupt));
}

std::shared_ptr<Call> Calls::close(Work work, Work interrupt) {
  const std::lock_guard lock(mutex_);
  if (last_) return last_;
  std::vector<std::shared_ptr<Call>> open;
  for (const Thread& each : threads_) open.push_back(each.call);
  for (const auto& call : open) call->interrupt();
  last_ = launch(
      [open, work = std::move(work)] {
        for (const auto& call : open) call->wait();
        if (work) work();
      },
      std::move(interrupt));
  return last_;
}

bool wait_with_signals(Call& call, std::optional<milliseconds> limit) {
  using Clock = std::chrono::steady_clock;
  const auto end = limit ? Clock::now() + *limit : Clock::time_point::max();
  for (;;) {
    const auto now = Clock::now();
    const auto left = end - now < slice ? std::chrono::ceil<milliseconds>(end - now) : slice;
    bool done = false;
    {
      const py::gil_scoped_release released;
      done = call.wait_for(std::max(left, milliseconds(0)));
    }
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (done) return true;
    if (Clock::now() >= end) return false;
  }
}

std::shared_ptr<Call> start_or_raise(Calls& calls, Calls::Work work, Calls::Work interrupt) {
  std::shared_ptr<Call> call;
  {
    const py::gil_scoped_release released;
    call = calls.start(std::move(work), std::move(interrupt));
  }
  if (!call) raise({Cause::failed_precondition, "it is closed"});
  return call;
}

void leave(Calls& calls, const std::shared_ptr<Call>& call, const Calls::Work& undo) {
  const py::gil_scoped_release released;
  call->interrupt();
  auto last = call;
  if (undo) {
    last = calls.start([call, undo] {
      call->wait();
      undo();
    });
  }
  if (last) last->wait_for(grace);
}

void close_and_wait(Calls& calls, Calls::Work work, Calls::Work interrupt) {
  std::shared_ptr<Call> last;
  {
    const py::gil_scoped_release released;
    last = calls.close(std::move(work), std::move(interrupt));
  }
  try {
    wait_with_signals(*last);
  } catch (const py::error_already_set&) {
    leave(calls, last, {});
    throw;
  }
}

}  // namespace scistream::bindings

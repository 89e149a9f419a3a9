#include "cli/signals.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <stdexcept>

namespace scistream::cli {

namespace {

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

}  // namespace

void block_signals(std::initializer_list<int> signals) {
  const sigset_t set = set_of(signals);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

int wait_signal(std::initializer_list<int> signals, std::chrono::milliseconds limit) {
  const sigset_t set = set_of(signals);
  const timespec time{limit.count() / 1000, (limit.count() % 1000) * 1'000'000};
  const int signal = ::sigtimedwait(&set, nullptr, &time);
  return signal > 0 ? signal : 0;
}

SignalWaiter::SignalWaiter(std::initializer_list<int> signals, std::function<void(int)> handle)
    : event_(::eventfd(0, EFD_CLOEXEC)) {
  const sigset_t set = set_of(signals);
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC);
  if (event_ < 0 || signals_ < 0)
    throw std::runtime_error("cannot wait for signals: out of descriptors");
  thread_ = std::thread([this, handle = std::move(handle)] {
    pollfd entries[2] = {{event_, POLLIN, 0}, {signals_, POLLIN, 0}};
    for (;;) {
      if (::poll(entries, 2, -1) < 0 && errno != EINTR) return;
      if (entries[0].revents != 0) return;
      signalfd_siginfo info{};
      if (entries[1].revents != 0 && ::read(signals_, &info, sizeof info) == sizeof info) {
        handle(static_cast<int>(info.ssi_signo));
      }
    }
  });
}

SignalWaiter::~SignalWaiter() {
  const std::uint64_t one = 1;
  (void)!::write(event_, &one, sizeof one);
  thread_.join();
  ::close(signals_);
  ::close(event_);
}

}  // namespace scistream::cli

#pragma once

#include <stdexcept>

#include "net/process.hpp"

namespace scistream::test {

/// Signals this one process, or nobody if it has ended. Unlike kill(2), to which -1 is everybody:
/// what is no number of a process throws.
inline void send_signal(pid_t pid, int number) {
  const auto process = net::Process::open(pid);
  if (process)
    process->signal(number);
  else if (process.error().cause != Cause::not_found)
    throw std::runtime_error(process.error().message);
}

}  // namespace scistream::test

#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <csignal>
#include <string>

#include "net/fd.hpp"

namespace scistream::test {

/// One disabled test of this program in a process of its own, started with an environment of one
/// `NAME=value` and with the other end of `channel` as its standard input.
class AnotherProcess {
 public:
  AnotherProcess(const std::string& test, const std::string& variable) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    channel_.reset(ends[0]);
    const net::Fd there(ends[1]);
    const std::string filter = "--gtest_filter=" + test;
    pid_ = ::fork();
    if (pid_ == 0) {
      // Only async-signal-safe calls until exec: this program has threads.
      ::dup2(there.get(), STDIN_FILENO);
      char program[] = "/proc/self/exe";
      char disabled[] = "--gtest_also_run_disabled_tests";
      char* arguments[] = {program, const_cast<char*>(filter.c_str()), disabled, nullptr};
      char* environment[] = {const_cast<char*>(variable.c_str()), nullptr};
      ::execve(program, arguments, environment);
      ::_exit(127);
    }
    EXPECT_GT(pid_, 0);
  }
  AnotherProcess(const AnotherProcess&) = delete;
  AnotherProcess& operator=(const AnotherProcess&) = delete;
  ~AnotherProcess() { kill(); }

  [[nodiscard]] int channel() const { return channel_.get(); }

  /// What waitpid() says of it once it has ended by itself, as it does when the channel ends.
  int end() {
    channel_.reset();
    return wait();
  }
  /// Ends it without warning.
  int kill() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    return wait();
  }

  /// In the other process: until the channel ends.
  static void wait_for_the_end() {
    char byte = 0;
    while (::read(STDIN_FILENO, &byte, 1) > 0) {
    }
  }

 private:
  int wait() {
    int status = 0;
    if (pid_ > 0 && ::waitpid(pid_, &status, 0) != pid_) ADD_FAILURE() << "it cannot be waited for";
    pid_ = -1;
    return status;
  }

  net::Fd channel_;
  pid_t pid_ = -1;
};

}  // namespace scistream::test

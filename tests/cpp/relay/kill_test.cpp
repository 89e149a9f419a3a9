// A relay in a process of its own, killed without warning.
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "relay/relay_fixture.hpp"

namespace scistream::relay {
namespace {

using namespace test;

constexpr const char* target_variable = "SCISTREAM_TEST_RELAY_TARGET";

class RelayProcess : public RelayFixture {};

/// The relay itself, when the test below starts this program again.
TEST_F(RelayProcess, DISABLED_ForwardsUntilKilled) {
  const char* target = std::getenv(target_variable);
  if (target == nullptr) GTEST_SKIP() << "started by AKillReachesBothSidesAsAReset only";
  const auto relay = forward_to({must(parse_endpoint(target))});
  const std::uint16_t port = relay->listeners()[0].port;
  ASSERT_EQ(::write(STDIN_FILENO, &port, sizeof port), static_cast<ssize_t>(sizeof port));
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
}

// Protocol: kill-is-reset
TEST_F(RelayProcess, AKillReachesBothSidesAsAReset) {
  const Target target;
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const net::Fd here(ends[0]);
  net::Fd there(ends[1]);
  const std::string variable = std::string(target_variable) + "=" + to_string(target.endpoint());
  const pid_t child = ::fork();
  if (child == 0) {
    // Only async-signal-safe calls until exec: this program has threads.
    ::dup2(there.get(), STDIN_FILENO);
    char program[] = "/proc/self/exe";
    char filter[] = "--gtest_filter=RelayProcess.DISABLED_ForwardsUntilKilled";
    char disabled[] = "--gtest_also_run_disabled_tests";
    char* arguments[] = {program, filter, disabled, nullptr};
    char* environment[] = {const_cast<char*>(variable.c_str()), nullptr};
    ::execve(program, arguments, environment);
    ::_exit(127);
  }
  ASSERT_GT(child, 0);
  there.reset();
  std::uint16_t port = 0;
  ASSERT_EQ(poll_for(here.get(), POLLIN), 1);
  ASSERT_EQ(::read(here.get(), &port, sizeof port), static_cast<ssize_t>(sizeof port));

  const net::Fd client = connect_to({"127.0.0.1", port});
  const net::Fd accepted = target.accept();
  ASSERT_TRUE(accepted);
  send_all(client.get(), "half of the da");
  EXPECT_EQ(receive(accepted.get(), 14).bytes, "half of the da");
  // One side has said that it is done; the cut still is no end of the data.
  half_close(accepted.get());
  EXPECT_EQ(receive(client.get()).error, 0);

  ::kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(receive(accepted.get()).error, ECONNRESET);
  EXPECT_NE(::send(client.get(), "x", 1, MSG_NOSIGNAL), 1);
}

}  // namespace
}  // namespace scistream::relay

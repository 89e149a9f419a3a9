#include "net/process.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>

#include "net/signals.hpp"

namespace scistream::net {
namespace {

TEST(ProcessIdentity, NamesThisProcess) {
  const std::string self = process_identity(::getpid());
  EXPECT_EQ(self.rfind(std::to_string(::getpid()) + " ", 0), 0U) << self;
  EXPECT_EQ(identified_process(self), ::getpid());
}

TEST(ProcessIdentity, IsNotThatOfAnotherProcessOfTheSameNumber) {
  std::string other = process_identity(::getpid());
  const auto started = other.find(' ') + 1;
  other[started] = other[started] == '9' ? '8' : '9';
  EXPECT_EQ(identified_process(other), std::nullopt);
  std::string other_boot = process_identity(::getpid());
  other_boot.back() = other_boot.back() == 'a' ? 'b' : 'a';
  EXPECT_EQ(identified_process(other_boot), std::nullopt);
}

TEST(ProcessIdentity, EndsWithTheProcessEvenBeforeItsParentAsks) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const std::string identity = process_identity(child);
  EXPECT_EQ(identified_process(identity), child);
  test::send_signal(child, SIGKILL);
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(identified_process(identity), std::nullopt);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(process_identity(child), "");
}

TEST(Process, IsSignalledAndWaitedForThoughItsNumberIsAnothersLater) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const auto process = Process::find(process_identity(child));
  ASSERT_TRUE(process.ok());
  EXPECT_EQ(process->pid(), child);
  EXPECT_FALSE(process->ends_within(std::chrono::milliseconds(0)));
  process->signal(SIGTERM);
  EXPECT_TRUE(process->ends_within(std::chrono::seconds(10)));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  process->signal(SIGKILL);  // nobody is there: not even its successor
  EXPECT_TRUE(process->ends_within(std::chrono::milliseconds(0)));
  EXPECT_EQ(Process::open(child).error().cause, Cause::not_found);
}

TEST(Process, NeitherAGroupNorEverybodyIsOne) {
  for (const pid_t number : {-2, -1, 0}) {
    EXPECT_FALSE(Process::open(number).ok()) << number;
    EXPECT_THROW(test::send_signal(number, 0), std::runtime_error) << number;
  }
}

TEST(ProcessIdentity, OfNonsenseIsNobody) {
  for (const char* text : {"", "x", "0", "-1", "1", "99999999999999999999 1 a", "1 2"})
    EXPECT_EQ(identified_process(text), std::nullopt) << text;
}

}  // namespace
}  // namespace scistream::net

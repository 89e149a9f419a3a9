// Loaded into a program under test (LD_PRELOAD): kills it, as SIGKILL does, at a chosen one of its
// steps. A step is a write to the session store or a message to a peer. What to do comes from the
// environment: SCISTREAM_CRASH_AT=N kills at the Nth step (1 is the first) and
// SCISTREAM_CRASH_WHEN=before|after says on which side of it. Without a number steps are only
// counted, into the file SCISTREAM_CRASH_COUNT, as one byte each. With SCISTREAM_CRASH_ONCE=PATH
// steps are steps from when there is such a file.
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "original.hpp"

namespace {

struct Plan {
  long at = 0;
  bool after = false;
  int count = -1;
  const char* once = nullptr;
};

Plan plan;
std::atomic<long> steps{0};

/// What this program starts is not to be killed.
__attribute__((constructor)) void read_plan() {
  if (const char* at = std::getenv("SCISTREAM_CRASH_AT")) plan.at = std::strtol(at, nullptr, 10);
  if (const char* when = std::getenv("SCISTREAM_CRASH_WHEN"))
    plan.after = std::strcmp(when, "after") == 0;
  if (const char* path = std::getenv("SCISTREAM_CRASH_COUNT"))
    plan.count = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (const char* path = std::getenv("SCISTREAM_CRASH_ONCE")) plan.once = ::strdup(path);
  for (const char* name : {"LD_PRELOAD", "SCISTREAM_CRASH_AT", "SCISTREAM_CRASH_WHEN",
                           "SCISTREAM_CRASH_COUNT", "SCISTREAM_CRASH_ONCE"}) {
    ::unsetenv(name);
  }
}

template <class Work>
auto step(Work work) {
  if (plan.once != nullptr && ::access(plan.once, F_OK) != 0) return work();
  const bool here = ++steps == plan.at;
  if (here && !plan.after) ::kill(::getpid(), SIGKILL);
  const auto result = work();
  if (plan.count >= 0 && ::write(plan.count, ".", 1) != 1) ::abort();
  if (here) ::kill(::getpid(), SIGKILL);
  return result;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

int sqlite3_step(sqlite3_stmt* statement) {
  static auto* const real = original<decltype(sqlite3_step)>("sqlite3_step");
  if (sqlite3_stmt_readonly(statement) != 0) return real(statement);
  return step([&] { return real(statement); });
}

// Statements without results, COMMIT among them.
int sqlite3_exec(sqlite3* connection, const char* text, int (*row)(void*, int, char**, char**),
                 void* context, char** error) {
  static auto* const real = original<decltype(sqlite3_exec)>("sqlite3_exec");
  return step([&] { return real(connection, text, row, context, error); });
}

ssize_t sendmsg(int socket, const msghdr* message, int flags) {
  static auto* const real = original<decltype(sendmsg)>("sendmsg");
  return step([&] { return real(socket, message, flags); });
}

}  // extern "C"
#pragma GCC visibility pop

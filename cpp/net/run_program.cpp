#include "net/run_program.hpp"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <utility>

#include "net/fd.hpp"
#include "net/process.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration): POSIX has it in no header

namespace scistream::net {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t most_output = 1U << 20U;

/// One of the three ways between a program and us. Sockets: writing to one whose reader is gone is
/// an error, not the end of this process.
struct Way {
  Fd ours;
  Fd theirs;

  Status open() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
      return errno_error("cannot make a pair of sockets", errno);
    ours = Fd(ends[0]);
    theirs = Fd(ends[1]);
    return {};
  }
};

/// Kills and buries what has not ended.
class Running {
 public:
  explicit Running(pid_t pid) : pid_(pid) {}
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    (void)wait();
  }
  /// How it ended; nothing if somebody else has buried it.
  std::optional<int> wait() {
    int status = 0;
    pid_t buried = 0;
    do {
      buried = ::waitpid(pid_, &status, 0);
    } while (buried < 0 && errno == EINTR);
    pid_ = -1;
    return buried > 0 ? std::optional(status) : std::nullopt;
  }

 private:
  pid_t pid_;
};

Result<pid_t> spawn(const std::vector<std::string>& arguments, const std::array<Way, 3>& ways) {
  std::vector<char*> words;
  words.reserve(arguments.size() + 1);
  for (const std::string& each : arguments) words.push_back(const_cast<char*>(each.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (std::size_t i = 0; i < ways.size(); ++i)
    posix_spawn_file_actions_adddup2(&actions, ways[i].theirs.get(), static_cast<int>(i));
  posix_spawn_file_actions_addclosefrom_np(&actions, static_cast<int>(ways.size()));
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int failed =
      ::posix_spawnp(&pid, words.front(), &actions, &attributes, words.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return errno_error("cannot run '" + arguments.front() + "'", failed);
  return pid;
}

/// Sends the input and collects what comes until the program has closed both its ways.
class Talk {
 public:
  Talk(std::array<Way, 3>& ways, std::string_view input) : ways_(ways), input_(input) {
    for (std::string& each : said_) each.reserve(most_output);
  }
  Talk(const Talk&) = delete;
  Talk& operator=(const Talk&) = delete;
  ~Talk() {
    for (std::string& each : said_) wipe_bytes(each.data(), each.size());
  }

  Status run(steady_clock::time_point deadline) {
    while (ways_[1].ours || ways_[2].ours) {
      if (input_.empty()) ways_[0].ours = Fd();
      std::array<pollfd, 3> wanted{{{ways_[0].ours.get(), POLLOUT, 0},
                                    {ways_[1].ours.get(), POLLIN, 0},
                                    {ways_[2].ours.get(), POLLIN, 0}}};
      const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now()).count();
      const int ready =
          ::poll(wanted.data(), wanted.size(), static_cast<int>(std::max<long long>(left, 0)));
      if (ready < 0 && errno == EINTR) continue;
      if (ready < 0) return errno_error("cannot wait for a program", errno);
      if (ready == 0) return Error{Cause::timeout, "does not end"};
      if (wanted[0].revents != 0) write();
      for (const std::size_t way : {1U, 2U})
        if (wanted[way].revents != 0) read(way);
      if (said_[0].size() + said_[1].size() > most_output)
        return Error{Cause::exhausted, "says more than a megabyte"};
    }
    return {};
  }
  [[nodiscard]] Secret said(std::size_t way) const {
    return Secret(std::string_view(said_.at(way - 1)));
  }

 private:
  void write() {
    const ssize_t sent =
        ::send(ways_[0].ours.get(), input_.data(), input_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      input_.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno != EAGAIN && errno != EINTR) {
      input_ = {};  // it does not want to hear it all
    }
  }
  void read(std::size_t way) {
    std::array<char, 4096> chunk{};
    const Wiped wiped(chunk);
    const ssize_t got = ::recv(ways_[way].ours.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (got > 0) {
      said_[way - 1].append(chunk.data(), static_cast<std::size_t>(got));
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      ways_[way].ours = Fd();
    }
  }

  std::array<Way, 3>& ways_;
  std::string_view input_;
  std::array<std::string, 2> said_;
};

}  // namespace

Result<ProgramEnd> run_program(const std::vector<std::string>& arguments, const Secret& input,
                               milliseconds limit) {
  const auto deadline = steady_clock::now() + limit;
  std::array<Way, 3> ways;
  for (Way& way : ways)
    if (Status opened = way.open(); !opened) return opened.error();
  const auto pid = spawn(arguments, ways);
  if (!pid) return pid.error();
  Running running(*pid);
  for (Way& way : ways) way.theirs = Fd();
  Talk talk(ways, input.view());
  if (Status ended = talk.run(deadline); !ended)
    return Error{ended.error().cause, "'" + arguments.front() + "' " + ended.error().message};
  // It may have closed its ways, and go on.
  const auto process = Process::open(*pid);
  const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
  if (process && !process->ends_within(std::max(left, milliseconds(0))))
    return Error{Cause::timeout, "'" + arguments.front() + "' does not end"};
  const auto status = running.wait();
  if (!status)
    return Error{Cause::failure, "how '" + arguments.front() + "' ended cannot be found out"};
  return ProgramEnd{*status, talk.said(1), talk.said(2)};
}

}  // namespace scistream::net

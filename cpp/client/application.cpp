#include "client/application.hpp"

#include <poll.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "base/endpoint.hpp"
#include "net/fd.hpp"

namespace scistream::client {

namespace {

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : ",") + text;
  return all;
}

/// This process's environment, with `add` and without `without`.
std::vector<std::string> environment(const std::vector<std::pair<std::string, std::string>>& add,
                                     std::vector<std::string> without) {
  for (const auto& [name, value] : add) without.push_back(name);
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    if (std::find(without.begin(), without.end(), name) == without.end()) all.push_back(text);
  }
  for (const auto& [name, value] : add) all.emplace_back(name).append("=").append(value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  all.reserve(texts.size() + 1);
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

}  // namespace

Result<std::vector<std::string>> fill_placeholders(const std::vector<std::string>& words,
                                                   const std::vector<std::string>& listeners) {
  std::vector<std::pair<std::string, std::string>> values{{"{listeners}", joined(listeners)}};
  if (!listeners.empty()) {
    const auto first = parse_endpoint(listeners.front());
    if (!first) return first.error();
    values.insert(values.end(), {{"{listener}", listeners.front()},
                                 {"{host}", first->host},
                                 {"{port}", std::to_string(first->port)}});
  }
  std::vector<std::string> filled = words;
  for (std::string& word : filled) {
    for (const auto& [name, value] : values) {
      for (auto at = word.find(name); at != std::string::npos;
           at = word.find(name, at + value.size())) {
        word.replace(at, name.size(), value);
      }
    }
    const bool left = listeners.empty() && (word.find("{listener}") != std::string::npos ||
                                            word.find("{host}") != std::string::npos ||
                                            word.find("{port}") != std::string::npos);
    if (left)
      return Error{Cause::invalid_argument,
                   "'" + word + "' needs a listener, and this session has none here"};
  }
  return filled;
}

Result<int> run_application(const std::vector<std::string>& words,
                            const std::vector<std::string>& listeners, const std::string& uid,
                            const std::string& role, const std::vector<int>& forward,
                            const std::vector<std::string>& without) {
  if (words.empty()) return Error{Cause::invalid_argument, "no command to run"};
  std::vector<std::string> arguments = words;
  std::vector<std::string> variables = environment({{"SCISTREAM_LISTENERS", joined(listeners)},
                                                    {"SCISTREAM_UID", uid},
                                                    {"SCISTREAM_ROLE", role}},
                                                   without);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t none;
  sigset_t ignored;
  sigemptyset(&none);
  sigemptyset(&ignored);
  sigaddset(&ignored, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &ignored);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, arguments.front().c_str(), nullptr, &attributes,
                                   pointers(arguments).data(), pointers(variables).data());
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return errno_error("cannot start '" + arguments.front() + "'", error);

  const net::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  sigset_t waited;
  sigemptyset(&waited);
  for (const int signal : forward) sigaddset(&waited, signal);
  const net::Fd signals(::signalfd(-1, &waited, SFD_CLOEXEC));
  if (!process || !signals) {
    const Error failed = errno_error("cannot wait for '" + arguments.front() + "'", errno);
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return failed;
  }
  pollfd entries[2] = {{process.get(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(entries, 2, -1) < 0) continue;
    signalfd_siginfo info{};
    if (entries[1].revents != 0 && ::read(signals.get(), &info, sizeof info) == sizeof info) {
      ::kill(pid, static_cast<int>(info.ssi_signo));
    }
    if (entries[0].revents == 0) continue;
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
}

}  // namespace scistream::client

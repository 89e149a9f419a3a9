#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "net/fd.hpp"

namespace scistream::net {

/// A running process, told apart from any other that has, had or will have its number: the number,
/// when it started, and the boot of the machine it runs in. One line of text, fit for a file.
/// Empty if there is no such process, or no more than its remains (source: proc(5)).
std::string process_identity(pid_t pid);

/// The processes of a session (setsid(2)) that run in a folder: who started them may have ended.
std::vector<pid_t> session_members(pid_t session, const std::filesystem::path& folder);

/// The process of an identity, if it still runs.
std::optional<pid_t> identified_process(const std::string& identity);

/// A process to watch and to signal, whether or not it is a child; what takes its number after its
/// end is left alone (pidfd_open(2)). Not thread-safe.
class Process {
 public:
  Process() = default;
  /// `not_found` if it does not run.
  static Result<Process> open(pid_t pid);
  /// The process of an identity; `not_found` if it does not run any more.
  static Result<Process> find(const std::string& identity);

  explicit operator bool() const noexcept { return static_cast<bool>(handle_); }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// Readable once it has ended.
  [[nodiscard]] int handle() const noexcept { return handle_.get(); }
  void signal(int number) const noexcept;
  /// Waits for its end, at most this long; whether it has ended.
  [[nodiscard]] bool ends_within(std::chrono::milliseconds limit) const;

 private:
  Process(pid_t pid, Fd handle) : pid_(pid), handle_(std::move(handle)) {}

  pid_t pid_ = -1;
  Fd handle_;
};

}  // namespace scistream::net

#include "net/process.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <sstream>

#include "base/file.hpp"

namespace scistream::net {

namespace {

/// Fields of /proc/PID/stat after the name, which may itself hold spaces and brackets.
constexpr int state_field = 0;
constexpr int start_field = 19;

std::string boot() {
  auto id = read_file("/proc/sys/kernel/random/boot_id");
  if (!id) return {};
  while (id->ends_with('\n')) id->pop_back();
  return *id;
}

}  // namespace

std::string process_identity(pid_t pid) {
  if (pid <= 0) return {};
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  if (!stat) return {};
  const auto name_end = stat->rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream fields(stat->substr(name_end + 1));
  std::string started;
  for (int field = state_field; field <= start_field; ++field) {
    if (!(fields >> started)) return {};
    if (field == state_field && (started == "Z" || started == "X")) return {};
  }
  return std::to_string(pid) + " " + started + " " + boot();
}

std::vector<pid_t> session_members(pid_t session, const std::filesystem::path& folder) {
  std::vector<pid_t> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || *end != '\0' || ::getsid(pid) != session) continue;
    std::error_code unreadable;
    const auto place = std::filesystem::read_symlink(entry.path() / "cwd", unreadable);
    if (!unreadable && place == folder) found.push_back(pid);
  }
  return found;
}

std::optional<pid_t> identified_process(const std::string& identity) {
  pid_t pid = 0;
  const auto [end, error] =
      std::from_chars(identity.data(), identity.data() + identity.size(), pid);
  if (error != std::errc() || process_identity(pid) != identity) return std::nullopt;
  return pid;
}

// By number: the C library's header for these lacks C linkage in Debian 12.
Result<Process> Process::open(pid_t pid) {
  Fd handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!handle) {
    const int why = errno;
    Error error = errno_error("process " + std::to_string(pid), why);
    if (why == ESRCH) error.cause = Cause::not_found;
    return error;
  }
  return Process(pid, std::move(handle));
}

Result<Process> Process::find(const std::string& identity) {
  const Error gone{Cause::not_found, "the process '" + identity + "' has ended"};
  const auto pid = identified_process(identity);
  if (!pid) return gone;
  auto process = open(*pid);
  // Its number may have passed to another one before it was opened.
  if (!process || identified_process(identity) != pid) return gone;
  return process;
}

void Process::signal(int number) const noexcept {
  if (handle_) ::syscall(SYS_pidfd_send_signal, handle_.get(), number, nullptr, 0);
}

bool Process::ends_within(std::chrono::milliseconds limit) const {
  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + limit;
  pollfd entry{handle_.get(), POLLIN, 0};
  int ready = 0;
  do {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    ready = ::poll(&entry, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

}  // namespace scistream::net

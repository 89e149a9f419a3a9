#include "control/state_folder.hpp"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <system_error>
#include <utility>

#include "base/endpoint.hpp"
#include "base/sealed.hpp"

namespace scistream::control {

namespace {

const std::string temporary_prefix = "s2cs-";
/// Of a folder in use its maker has locked within this.
constexpr std::chrono::seconds time_to_lock{10};

/// What servers on free ports, which nobody can start again, left behind when they were killed.
void remove_abandoned() {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(std::filesystem::temp_directory_path(), error),
       end;
       !error && entry != end; entry.increment(error)) {
    const auto folder = entry->path();
    struct stat info{};
    if (!folder.filename().string().starts_with(temporary_prefix) ||
        ::lstat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) ||
        info.st_uid != ::geteuid() || ::access((folder / "s2cs.lock").c_str(), F_OK) != 0 ||
        std::time(nullptr) - info.st_mtime < time_to_lock.count()) {
      continue;
    }
    const auto s2cs = DirectoryLock::take(folder, "s2cs");
    const auto s2ds = DirectoryLock::take(folder, "s2ds");
    if (!s2cs || !s2ds) continue;  // it lives, or its data server still streams
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
}

}  // namespace

Result<StateFolder> StateFolder::take(const std::filesystem::path& wanted, std::uint16_t port,
                                      const std::string& listener_ip) {
  StateFolder made;
  made.path_ = wanted;
  if (wanted.empty() && port != 0) {
    made.path_ = default_state_directory() / ("s2cs-" + std::to_string(port));
    // Facilities that share a machine share a port number, but not an address.
    if (!is_wildcard(listener_ip)) made.path_ += "-" + listener_ip;
  } else if (wanted.empty()) {
    remove_abandoned();
    std::string name = std::filesystem::temp_directory_path() / (temporary_prefix + "XXXXXX");
    if (::mkdtemp(name.data()) == nullptr) return errno_error("cannot make a state folder", errno);
    made.path_ = made.temporary_ = name;
  }
  if (Status usable = make_private_directory(made.path_); !usable) return usable.error();
  auto lock = DirectoryLock::take(made.path_, "s2cs");
  if (!lock) return lock.error();
  made.lock_ = std::move(*lock);
  return made;
}

void StateFolder::leave() {
  lock_ = DirectoryLock();
  if (temporary_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(std::exchange(temporary_, {}), ignored);
}

Result<Secret> facility_key(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error) && !error) {
    std::string made = Secret::random(sealing_key_size).hex() + "\n";
    const Wiped wiped(made);
    const Status kept = create_private_file(file, made);
    // Of several servers that make one, one has; all use that.
    if (!kept && kept.error().cause != Cause::already_exists) return kept.error();
  }
  const auto word = read_secret_file(file, "facility key");
  if (!word) return word.error();
  auto key = Secret::from_hex(word->view(), sealing_key_size);
  if (!key) return Error{key.error().cause, "'" + file.string() + "': " + key.error().message};
  return key;
}

}  // namespace scistream::control

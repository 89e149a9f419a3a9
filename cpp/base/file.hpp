#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/secret.hpp"

namespace scistream {

/// How long what another program is to write into a pipe is waited for.
inline constexpr std::chrono::seconds pipe_patience{10};

/// The whole file, at most `most` bytes. `not_found`, `permission_denied`, or `invalid_argument`
/// if it is larger; each names the path. `timeout` for a pipe that nobody writes into.
Result<std::string> read_file(const std::filesystem::path& path, std::size_t most = 1U << 20U);

/// As `read_file`, of a file that holds a secret: `permission_denied` if others can read it, but
/// for the group of one that belongs to root. `what` says in errors what it is, such as `key file`.
/// A pipe will do, which a shell makes of what another program says; `timeout` if that says nothing
/// for so long.
Result<std::string> read_private_file(const std::filesystem::path& path, const std::string& what,
                                      std::size_t most = 1U << 20U,
                                      std::chrono::milliseconds patience = pipe_patience);

/// The one word (is_one_word) that such a file holds, perhaps with a line's end after it;
/// `invalid_argument` if it holds anything else.
Result<Secret> read_secret_file(const std::filesystem::path& path, const std::string& what);

/// Replaces the file in one step (a reader sees the old or the new content), mode 0600.
/// What is on disk when it returns survives a crash.
Status write_private_file(const std::filesystem::path& path, std::string_view content);

/// As `write_private_file`, but `already_exists` if there is such a file: of several processes that
/// try, one succeeds.
Status create_private_file(const std::filesystem::path& path, std::string_view content);

/// Creates the folder and what is missing above it, mode 0700; the folder itself has that mode and
/// belongs to the caller, or it is an error.
Status make_private_directory(const std::filesystem::path& path);

/// Holds a folder for one process of a kind, until destroyed or until that process dies.
class DirectoryLock {
 public:
  /// `owner` is the kind, such as `s2cs`; the lock is the file `<owner>.lock`. `already_exists`
  /// names the process that holds it.
  static Result<DirectoryLock> take(const std::filesystem::path& directory,
                                    const std::string& owner);

  DirectoryLock() = default;
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&& other) noexcept;
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;
  ~DirectoryLock();

 private:
  explicit DirectoryLock(int descriptor) noexcept : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

/// Where a user's programs keep state: $SCISTREAM_STATE_DIR, $XDG_STATE_HOME/scistream or
/// ~/.local/state/scistream.
std::filesystem::path default_state_directory();

}  // namespace scistream

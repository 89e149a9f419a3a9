#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/secret.hpp"

namespace scistream::control {

/// Where a control server keeps its certificate, its socket and its sessions. Held, so that no
/// other control server has it, until `leave` or the end; one of a server that nobody can start
/// again is removed then. Not thread-safe.
class StateFolder {
 public:
  /// `wanted`, or else one of the control port and its address in the user's state folder, or, for
  /// port 0, a new one; it is made if it is not there. `already_exists` names the process that has
  /// it.
  static Result<StateFolder> take(const std::filesystem::path& wanted, std::uint16_t port,
                                  const std::string& listener_ip);

  StateFolder() = default;
  StateFolder(StateFolder&& other) noexcept
      : path_(std::move(other.path_)),
        temporary_(std::exchange(other.temporary_, {})),
        lock_(std::move(other.lock_)) {}
  StateFolder& operator=(StateFolder&& other) noexcept {
    path_ = std::move(other.path_);
    std::swap(temporary_, other.temporary_);
    lock_ = std::move(other.lock_);
    return *this;
  }
  ~StateFolder() { leave(); }

  /// Of the last one, after `leave` as well.
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  void leave();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;  ///< The same, if it goes with its server.
  DirectoryLock lock_;
};

/// The key of a facility, 64 hexadecimal digits in a file of its own: read, or made there.
Result<Secret> facility_key(const std::filesystem::path& file);

}  // namespace scistream::control

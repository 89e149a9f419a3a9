#include "base/file.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace scistream {

namespace {

/// Closes on the way out; base must not depend on net's Fd.
struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

Status write_all(int descriptor, std::string_view content, const std::string& what) {
  while (!content.empty()) {
    const ssize_t written = ::write(descriptor, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno_error(what, errno);
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

/// Until a pipe can be read, or has been closed by who wrote into it.
Status wait_for_writer(int pipe, const std::string& name, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd wanted{pipe, POLLIN, 0};
    const int ready = ::poll(&wanted, 1, static_cast<int>(std::max<long long>(left.count(), 0)));
    if (ready > 0) return {};
    if (ready == 0) {
      return Error{Cause::timeout, name + " is a pipe, and nobody has written into it for " +
                                       std::to_string(patience.count()) + " ms"};
    }
    if (errno != EINTR) return errno_error("cannot wait for " + name, errno);
  }
}

/// A file that is open for reading, whatever it is: opening a pipe that nobody writes into must not
/// hold its reader for ever.
struct OpenFile {
  Descriptor descriptor;
  std::string name;  ///< For errors.
  struct stat info{};
};

/// `file` is as it is when it comes.
Status open_to_read(const std::filesystem::path& path, OpenFile& file) {
  file.descriptor.value = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (file.descriptor.value < 0 || ::fstat(file.descriptor.value, &file.info) != 0)
    return errno_error("cannot read " + file.name, errno);
  return {};
}

/// All of it. Who writes into a pipe is waited for so long, each time.
Status read_all(const OpenFile& file, std::size_t most, std::chrono::milliseconds patience,
                std::string& content) {
  const int descriptor = file.descriptor.value;
  const std::string what = "cannot read " + file.name;
  if (S_ISFIFO(file.info.st_mode)) {
    if (Status ready = wait_for_writer(descriptor, file.name, patience); !ready) return ready;
  }
  std::array<char, 16384> chunk{};
  const Wiped wiped(chunk);
  for (;;) {
    const ssize_t got = ::read(descriptor, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      if (Status ready = wait_for_writer(descriptor, file.name, patience); !ready) return ready;
      continue;
    }
    if (got < 0 && errno == EISDIR)
      return Error{Cause::invalid_argument, what + ": it is a folder"};
    if (got < 0) return errno_error(what, errno);
    if (got == 0) return {};
    content.append(chunk.data(), static_cast<std::size_t>(got));
    if (content.size() > most) {
      return Error{Cause::invalid_argument,
                   what + ": it is larger than " + std::to_string(most) + " bytes"};
    }
  }
}

}  // namespace

Result<std::string> read_file(const std::filesystem::path& path, std::size_t most) {
  OpenFile file{{-1}, "'" + path.string() + "'"};
  if (Status opened = open_to_read(path, file); !opened) return opened.error();
  std::string content;
  if (Status read = read_all(file, most, pipe_patience, content); !read) return read.error();
  return content;
}

Result<std::string> read_private_file(const std::filesystem::path& path, const std::string& what,
                                      std::size_t most, std::chrono::milliseconds patience) {
  OpenFile file{{-1}, "the " + what + " '" + path.string() + "'"};
  if (Status opened = open_to_read(path, file); !opened) return opened.error();
  const struct stat& info = file.info;
  if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode))
    return Error{Cause::invalid_argument, file.name + " is no file"};
  // What root has given to a service's group, or systemd to the service (LoadCredential=), is not
  // the service's to change.
  const bool is_given = info.st_uid == 0 && ::geteuid() != 0;
  const unsigned others = is_given ? 037U : 077U;
  if ((info.st_mode & others) != 0) {
    return Error{Cause::permission_denied,
                 file.name + " can be read by others; say chmod 600 '" + path.string() + "'"};
  }
  std::string content;
  content.reserve(most);  // else it would leave pieces of itself behind as it grows
  const Status read = read_all(file, most, patience, content);
  if (read) return content;
  const Wiped wiped(content);
  return read.error();
}

Result<Secret> read_secret_file(const std::filesystem::path& path, const std::string& what) {
  constexpr std::size_t most = 20'000;
  auto text = read_private_file(path, what, most);
  if (!text) return text.error();
  const Wiped wiped(*text);
  std::string_view word = *text;
  while (!word.empty() && (word.back() == '\n' || word.back() == '\r' || word.back() == ' '))
    word.remove_suffix(1);
  if (is_one_word(word)) return Secret(word);
  return Error{Cause::invalid_argument,
               "the " + what + " '" + path.string() + "' does not hold one word, and nothing else"};
}

namespace {

/// Writes a temporary file beside `path` and puts it in place with `put(temporary, path)`, which
/// returns as rename(2) does.
template <class Put>
Status write_and_put(const std::filesystem::path& path, std::string_view content, Put put) {
  const std::string what = "cannot write '" + path.string() + "'";
  std::string temporary = path.string() + ".XXXXXX";
  const Descriptor file{::mkostemp(temporary.data(), O_CLOEXEC)};  // mode 0600
  if (file.value < 0) return errno_error(what, errno);
  Status status = write_all(file.value, content, what);
  if (status && ::fsync(file.value) != 0) status = errno_error(what, errno);
  if (status && put(temporary.c_str(), path.c_str()) != 0) status = errno_error(what, errno);
  ::unlink(temporary.c_str());  // gone already where it was renamed
  return status;
}

}  // namespace

Status write_private_file(const std::filesystem::path& path, std::string_view content) {
  return write_and_put(path, content, ::rename);
}

Status create_private_file(const std::filesystem::path& path, std::string_view content) {
  return write_and_put(path, content, ::link);
}

Status make_private_directory(const std::filesystem::path& path) {
  const std::string what = "cannot use the folder '" + path.string() + "'";
  const auto whole = std::filesystem::absolute(path).lexically_normal();
  std::filesystem::path parent;
  for (const auto& part : whole.parent_path()) {
    parent /= part;
    if (::mkdir(parent.c_str(), 0700) != 0 && errno != EEXIST && errno != EROFS)
      return errno_error(what, errno);
  }
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return errno_error(what, errno);
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return errno_error(what, errno);
  if (!S_ISDIR(info.st_mode)) return Error{Cause::invalid_argument, what + ": it is not a folder"};
  if (info.st_uid != ::geteuid()) {
    return Error{Cause::permission_denied, what + ": it belongs to another user"};
  }
  if ((info.st_mode & 0777U) != 0700 && ::chmod(path.c_str(), 0700) != 0)
    return errno_error(what, errno);
  return {};
}

Result<DirectoryLock> DirectoryLock::take(const std::filesystem::path& directory,
                                          const std::string& owner) {
  const auto path = directory / (owner + ".lock");
  const std::string what = "cannot lock '" + path.string() + "'";
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return errno_error(what, errno);
  DirectoryLock lock(file);
  if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errno_error(what, errno);
    auto holder = read_file(path, 4096);
    while (holder && holder->ends_with('\n')) holder->pop_back();
    return Error{Cause::already_exists,
                 "the folder '" + directory.string() + "' is in use by " +
                     (holder && !holder->empty() ? *holder : std::string("another process"))};
  }
  const std::string note = owner + ", pid " + std::to_string(::getpid()) + "\n";
  if (::ftruncate(file, 0) != 0) return errno_error(what, errno);
  if (auto status = write_all(file, note, what); !status) return status.error();
  return lock;
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

DirectoryLock& DirectoryLock::operator=(DirectoryLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::filesystem::path default_state_directory() {
  if (const char* own = std::getenv("SCISTREAM_STATE_DIR"); own != nullptr && *own != '\0')
    return own;
  if (const char* xdg = std::getenv("XDG_STATE_HOME"); xdg != nullptr && *xdg != '\0') {
    return std::filesystem::path(xdg) / "scistream";
  }
  std::filesystem::path home = "/";
  if (const char* named = std::getenv("HOME"); named != nullptr && *named != '\0') {
    home = named;
  } else if (const passwd* entry = ::getpwuid(::geteuid()); entry != nullptr) {
    home = entry->pw_dir;
  }
  return home / ".local" / "state" / "scistream";
}

}  // namespace scistream

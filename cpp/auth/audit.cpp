#include "auth/audit.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/utc.hpp"
#include "net/destinations.hpp"

namespace scistream::auth {

namespace {

constexpr std::size_t longest_text = 512;
constexpr std::size_t longest_id = 128;
constexpr std::size_t longest_target = 260;
constexpr std::size_t most_targets = 32;
constexpr std::size_t most_omitted = 10'000;  // addresses

/// RFC 3339, in UTC.
std::string in_words(std::chrono::system_clock::time_point when) {
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
  const std::string fraction = std::to_string(1000 + ms % 1000).substr(1);
  return in_utc(when, "%Y-%m-%dT%H:%M:%S") + "." + fraction + "Z";
}

const char* in_words(AuditEntry::Decision decision) {
  switch (decision) {
    case AuditEntry::Decision::admitted: return "admitted";
    case AuditEntry::Decision::allowed: return "allowed";
    case AuditEntry::Decision::refused: break;
  }
  return "refused";
}

}  // namespace

std::string to_json(const AuditEntry& entry, std::chrono::system_clock::time_point when,
                    std::size_t omitted) {
  nlohmann::ordered_json line{{"time", in_words(when)},
                              {"decision", in_words(entry.decision)},
                              {"what", entry.rpc},
                              {"session", entry.session.substr(0, longest_id)},
                              {"from", entry.from}};
  if (entry.who != nullptr) {
    line["who"] = {
        {"issuer", entry.who->issuer}, {"subject", entry.who->subject}, {"name", entry.who->name}};
  } else {
    line["who"] = nullptr;
  }
  if (!entry.targets.empty()) {
    line["targets"] = nlohmann::ordered_json::array();
    for (const std::string& each : entry.targets) {
      if (line["targets"].size() == most_targets) break;
      line["targets"].push_back(each.substr(0, longest_target));
    }
  }
  if (!entry.why.empty()) line["why"] = entry.why.substr(0, longest_text);
  if (omitted > 0) line["omitted"] = omitted;
  return line.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

Result<std::unique_ptr<FileAudit>> FileAudit::open(std::filesystem::path path, Logger log) {
  std::unique_ptr<FileAudit> audit(new FileAudit(std::move(path), std::move(log)));
  if (const Status opened = audit->reopen(); !opened) return opened.error();
  return audit;
}

Status FileAudit::reopen() {
  constexpr int mode = 0600;
  const std::string what = "cannot write the audit log '" + path_.string() + "'";
  // A pipe that nobody reads from would hold us for ever.
  constexpr int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  net::Fd file(::open(path_.c_str(), flags, mode));
  struct stat info{};
  if (!file || ::fstat(file.get(), &info) != 0) return errno_error(what, errno);
  if (!S_ISREG(info.st_mode)) return Error{Cause::invalid_argument, what + ": it is no file"};
  if ((info.st_mode & 022U) != 0)
    log_->warn("the audit log '{}' can be written by others; say chmod 600", path_.string());
  const std::lock_guard lock(mutex_);
  file_ = std::move(file);
  return {};
}

std::optional<std::size_t> FileAudit::omitted_before(const AuditEntry& entry) {
  if (entry.decision != AuditEntry::Decision::refused && !entry.is_stranger) return 0;
  const std::string peer = entry.who != nullptr ? entry.who->issuer + "\n" + entry.who->subject
                                                : net::owned_by_peer(entry.from);
  if (strangers_.take(peer)) {
    const auto found = omitted_.find(peer);
    if (found == omitted_.end()) return 0;
    const std::size_t count = found->second;
    omitted_.erase(found);
    return count;
  }
  if (omitted_.size() < most_omitted || omitted_.contains(peer)) ++omitted_[peer];
  return std::nullopt;
}

void FileAudit::record(const AuditEntry& entry) {
  const std::lock_guard lock(mutex_);
  const auto omitted = omitted_before(entry);
  if (!omitted) return;
  const std::string line = to_json(entry, std::chrono::system_clock::now(), *omitted) + "\n";
  // In one go, so that lines of several writers do not mix.
  const auto written = ::write(file_.get(), line.data(), line.size());
  if (written == static_cast<ssize_t>(line.size())) return;
  if (!complaints_.may(clock_.now())) return;
  log_->error("{}", errno_error("the audit log '" + path_.string() + "' loses lines",
                                written < 0 ? errno : ENOSPC)
                        .message);
}

}  // namespace scistream::auth

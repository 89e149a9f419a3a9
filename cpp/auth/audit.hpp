#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/identity.hpp"
#include "auth/throttle.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/seldom.hpp"
#include "net/fd.hpp"

namespace scistream::auth {

/// One decision.
struct AuditEntry {
  std::string rpc;
  std::string session;            ///< Its id as the caller gave it; may be empty, or nonsense.
  std::string from;               ///< Numeric address; empty: a Unix socket.
  const Identity* who = nullptr;  ///< Null: nobody knows.
  bool is_stranger = false;       ///< Who may have been let in for another proof.
  /// `admitted`: the caller may make such a call, which now waits; what comes of it has a line of
  /// its own.
  enum class Decision { refused, admitted, allowed };
  Decision decision = Decision::refused;
  std::vector<std::string> targets;  ///< Where a session is to lead, as the caller said.
  std::string why;                   ///< Of a refusal, or of what was allowed and failed.
};

/// Where decisions are kept. Any thread.
class AuditLog {
 public:
  virtual ~AuditLog() = default;
  virtual void record(const AuditEntry& entry) = 0;
};

/// Keeps nothing.
class NoAudit final : public AuditLog {
 public:
  void record(const AuditEntry&) override {}
};

/// Appends one JSON object a line to a file of mode 0600. What strangers call, and what users are
/// refused, is counted where one address, or user, has much of it, and the next line of it says how
/// many were left out. What cannot be written is said in the log, at most once a minute, and does
/// not stop anything.
class FileAudit final : public AuditLog {
 public:
  static Result<std::unique_ptr<FileAudit>> open(std::filesystem::path path, Logger log);

  void record(const AuditEntry& entry) override;
  /// Goes on in a new file where the present one has been moved away.
  Status reopen();

 private:
  FileAudit(std::filesystem::path path, Logger log)
      : path_(std::move(path)), log_(std::move(log)) {}

  /// How many lines of its address were left out before this one; nothing: this one is, too.
  std::optional<std::size_t> omitted_before(const AuditEntry& entry);

  static constexpr Throttle::Limits strangers{100, 1};

  std::mutex mutex_;
  const SteadyClock clock_;
  Throttle strangers_{clock_, strangers};
  std::map<std::string, std::size_t> omitted_;  ///< By address.
  const std::filesystem::path path_;
  const Logger log_;
  net::Fd file_;
  Seldom complaints_;
};

/// The line, without its end. Ids and reasons that are not plain text are escaped or replaced.
/// `omitted`: refusals of the same address that have none.
std::string to_json(const AuditEntry& entry, std::chrono::system_clock::time_point when,
                    std::size_t omitted = 0);

}  // namespace scistream::auth

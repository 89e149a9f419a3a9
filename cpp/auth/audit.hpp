#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "auth/identity.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "net/fd.hpp"

namespace scistream::auth {

/// One decision.
struct AuditEntry {
  std::string rpc;
  std::string session;            ///< Its id as the caller gave it; may be empty, or nonsense.
  std::string from;               ///< Numeric address; empty: a Unix socket.
  const Identity* who = nullptr;  ///< Null: nobody knows.
  bool allowed = false;
  std::string why;  ///< Of a refusal.
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

/// Appends one JSON object a line to a file of mode 0600. What cannot be written is said in the
/// log, at most once a minute, and does not stop anything.
class FileAudit final : public AuditLog {
 public:
  static Result<std::unique_ptr<FileAudit>> open(std::filesystem::path path, Logger log);

  void record(const AuditEntry& entry) override;
  /// Goes on in a new file where the present one has been moved away.
  Status reopen();

 private:
  FileAudit(std::filesystem::path path, Logger log)
      : path_(std::move(path)), log_(std::move(log)) {}

  std::mutex mutex_;
  const std::filesystem::path path_;
  const Logger log_;
  net::Fd file_;
  std::chrono::steady_clock::time_point next_complaint_{};
};

/// The line, without its end. Ids and reasons that are not plain text are escaped or replaced.
std::string to_json(const AuditEntry& entry, std::chrono::system_clock::time_point when);

}  // namespace scistream::auth

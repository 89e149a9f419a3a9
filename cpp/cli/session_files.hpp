#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "client/session_keys.hpp"

namespace scistream::cli {

/// What `--session-file` holds: the id, both control servers and the key files, as JSON, 0600.
class SessionFile {
 public:
  /// In the place of an earlier one, or of an empty file; `invalid_argument` if another file is
  /// there.
  static Result<SessionFile> write(const std::filesystem::path& name, const std::string& uid,
                                   const std::string& prod, const std::string& cons,
                                   const client::SessionKeys& keys);
  /// Puts back what was there before, unless somebody else has written it since.
  void undo() const;

 private:
  SessionFile(std::filesystem::path path, std::string text, std::optional<std::string> before)
      : path_(std::move(path)), text_(std::move(text)), before_(std::move(before)) {}

  std::filesystem::path path_;  ///< Where a link leads.
  std::string text_;
  std::optional<std::string> before_;
};

}  // namespace scistream::cli

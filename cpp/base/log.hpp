#pragma once

#include <spdlog/logger.h>

#include <memory>
#include <string>

namespace scistream {

/// Loggers are passed in, never looked up. spdlog's are safe from any thread.
using Logger = std::shared_ptr<spdlog::logger>;

enum class Color { automatic, never };

/// Whether stderr goes straight to systemd's journal ($JOURNAL_STREAM is its device and inode),
/// which stamps every line with time and program, and reads the priority from a `<N>` in front of
/// it (sd-daemon(3)).
bool stderr_is_journal();

/// `<N>`, where stderr is the journal; otherwise nothing.
std::string journal_priority(spdlog::level::level_enum level);

/// Writes to stderr: for the journal, or with the time, coloured only when it is a terminal and
/// NO_COLOR is not set. `verbose` shows debug messages, otherwise information and above.
Logger stderr_logger(const std::string& name, bool verbose, Color color = Color::automatic);

/// Discards everything; for tests and embedded use.
Logger null_logger();

}  // namespace scistream

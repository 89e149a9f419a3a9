#pragma once

#include <spdlog/logger.h>

#include <memory>
#include <string>

namespace scistream {

/// Loggers are passed in, never looked up. spdlog's are safe from any thread.
using Logger = std::shared_ptr<spdlog::logger>;

enum class Color { automatic, never };

/// Writes to stderr, coloured only when that is a terminal and NO_COLOR is not set.
/// `verbose` shows debug messages, otherwise information and above.
Logger stderr_logger(const std::string& name, bool verbose, Color color = Color::automatic);

/// Discards everything; for tests and embedded use.
Logger null_logger();

}  // namespace scistream

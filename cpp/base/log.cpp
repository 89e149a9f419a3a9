#include "base/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace scistream {

namespace {

constexpr char priority_flag = '*';

/// Those of syslog(3).
std::string_view priority_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical: return "<2>";
    case spdlog::level::err: return "<3>";
    case spdlog::level::warn: return "<4>";
    case spdlog::level::info: return "<6>";
    default: return "<7>";
  }
}

/// The priority of each message, within a pattern.
class Priority final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& text) override {
    const auto priority = priority_of(message.level);
    text.append(priority.data(), priority.data() + priority.size());
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<Priority>();
  }
};

}  // namespace

bool stderr_is_journal() {
  const char* const named = std::getenv("JOURNAL_STREAM");
  struct stat info{};
  if (named == nullptr || ::fstat(STDERR_FILENO, &info) != 0) return false;
  return named == std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
}

std::string journal_priority(spdlog::level::level_enum level) {
  return std::string(stderr_is_journal() ? priority_of(level) : "");
}

Logger stderr_logger(const std::string& name, bool verbose, Color color) {
  const char* no_color = std::getenv("NO_COLOR");
  const bool colored = color == Color::automatic && isatty(STDERR_FILENO) == 1 &&
                       (no_color == nullptr || *no_color == '\0');
  auto sink = std::make_shared<spdlog::sinks::ansicolor_stderr_sink_mt>(
      colored ? spdlog::color_mode::always : spdlog::color_mode::never);
  auto logger = std::make_shared<spdlog::logger>(name, std::move(sink));
  logger->set_level(verbose ? spdlog::level::debug : spdlog::level::info);
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<Priority>(priority_flag)
      .set_pattern(stderr_is_journal() ? "%*%v" : "%Y-%m-%dT%H:%M:%S.%e %^%l%$ %n: %v");
  logger->set_formatter(std::move(formatter));
  logger->flush_on(spdlog::level::debug);
  return logger;
}

Logger null_logger() {
  return std::make_shared<spdlog::logger>("null", std::make_shared<spdlog::sinks::null_sink_mt>());
}

}  // namespace scistream

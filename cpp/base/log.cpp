#include "base/log.hpp"

#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <unistd.h>

#include <cstdlib>

namespace scistream {

Logger stderr_logger(const std::string& name, bool verbose, Color color) {
  const char* no_color = std::getenv("NO_COLOR");
  const bool colored = color == Color::automatic && isatty(STDERR_FILENO) == 1 &&
                       (no_color == nullptr || *no_color == '\0');
  auto sink = std::make_shared<spdlog::sinks::ansicolor_stderr_sink_mt>(
      colored ? spdlog::color_mode::always : spdlog::color_mode::never);
  auto logger = std::make_shared<spdlog::logger>(name, std::move(sink));
  logger->set_level(verbose ? spdlog::level::debug : spdlog::level::info);
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %n: %v");
  logger->flush_on(spdlog::level::debug);
  return logger;
}

Logger null_logger() {
  return std::make_shared<spdlog::logger>("null", std::make_shared<spdlog::sinks::null_sink_mt>());
}

}  // namespace scistream

#include "sdk/callback_log.hpp"

#include <spdlog/sinks/base_sink.h>

#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

namespace scistream::sdk {

namespace {

LogLevel level_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical:
    case spdlog::level::err: return LogLevel::error;
    case spdlog::level::warn: return LogLevel::warning;
    default: return LogLevel::info;
  }
}

/// Its mutex has the callback called one line at a time.
class CallbackSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit CallbackSink(LogCallback callback) : callback_(std::move(callback)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    try {
      callback_(level_of(message.level),
                std::string_view(message.payload.data(), message.payload.size()));
    } catch (...) {
      return;  // a log that cannot be kept stops nothing
    }
  }
  void flush_() override {}

 private:
  const LogCallback callback_;
};

}  // namespace

Logger logger_of(LogCallback callback) {
  if (!callback) return null_logger();
  return std::make_shared<spdlog::logger>("scistream",
                                          std::make_shared<CallbackSink>(std::move(callback)));
}

}  // namespace scistream::sdk

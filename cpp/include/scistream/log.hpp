#pragma once

#include <functional>
#include <string_view>

namespace scistream::inline v0 {

/// How much a line of the log matters.
enum class LogLevel {
  info,     ///< What happens, as sessions that come and go.
  warning,  ///< What somebody should look at, some day.
  error,    ///< What does not work.
};

/// Takes what a server or relay would write into a log: one line, without its end, which holds no
/// secret but may quote what a peer sent. Called on threads of the library, one line at a time. It
/// must not block for long, nor use the object that it belongs to, as long as which it must live;
/// what it throws is lost. The text is gone when it returns. Empty: nothing is logged.
using LogCallback = std::function<void(LogLevel level, std::string_view line)>;

}  // namespace scistream::inline v0

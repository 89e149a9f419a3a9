#include "base/utc.hpp"

#include <array>
#include <ctime>

namespace scistream {

std::string in_utc(std::chrono::system_clock::time_point when, const char* format) {
  // Rounded down, before 1970 as well.
  const std::time_t seconds =
      std::chrono::floor<std::chrono::seconds>(when).time_since_epoch().count();
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  return {text.data(), std::strftime(text.data(), text.size(), format, &parts)};
}

}  // namespace scistream

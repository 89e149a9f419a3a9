// Loaded into a program under test (LD_PRELOAD): its calendar is set as a machine's may be, while
// it runs. The file named by SCISTREAM_CALENDAR_OFFSET holds a 64-bit number of seconds to add, and
// may be written at any time. The steady clock runs on untouched, as it does on a machine.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "original.hpp"

namespace {

const volatile std::int64_t* offset = nullptr;

__attribute__((constructor)) void map_offset() {
  const char* path = std::getenv("SCISTREAM_CALENDAR_OFFSET");
  if (path == nullptr) return;
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) std::abort();
  void* mapped = ::mmap(nullptr, sizeof(*offset), PROT_READ, MAP_SHARED, file, 0);
  ::close(file);
  if (mapped == MAP_FAILED) std::abort();
  offset = static_cast<const volatile std::int64_t*>(mapped);
}

std::int64_t shift() { return offset == nullptr ? 0 : *offset; }

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  static const auto real = original<int(clockid_t, timespec*)>("clock_gettime");
  const int result = real(clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += shift();
  return result;
}

int gettimeofday(timeval* now, void* zone) noexcept {
  static const auto real = original<int(timeval*, void*)>("gettimeofday");
  const int result = real(now, zone);
  if (result == 0) now->tv_sec += shift();
  return result;
}

time_t time(time_t* now) noexcept {
  timespec exact{};
  clock_gettime(CLOCK_REALTIME, &exact);
  if (now != nullptr) *now = exact.tv_sec;
  return exact.tv_sec;
}

}  // extern "C"
#pragma GCC visibility pop

#include "cli/service_manager.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

namespace scistream::cli {

namespace {

using std::chrono::microseconds;

/// How often what a program is doing is told where there is no watchdog.
constexpr std::chrono::seconds status_period{5};
/// Of the time that the watchdog gives: two late answers in a row are forgiven.
constexpr int pings_within_limit = 3;

std::optional<std::int64_t> number_in(const char* variable) {
  const char* const text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  const std::string_view digits(text);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

/// How long the watchdog waits for a ping of this process; none if it does not watch it.
std::optional<microseconds> watchdog_limit() {
  const auto limit = number_in("WATCHDOG_USEC");
  // It may be meant for the process that started this one.
  const bool ours = std::getenv("WATCHDOG_PID") == nullptr || number_in("WATCHDOG_PID") == getpid();
  if (!ours || !limit || *limit <= 0) return std::nullopt;
  return microseconds(*limit);
}

}  // namespace

void notify_systemd(const std::string& state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (path == nullptr || (path[0] != '/' && path[0] != '@') ||
      std::strlen(path) >= sizeof address.sun_path)
    return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path, std::strlen(path));
  if (path[0] == '@') address.sun_path[0] = '\0';  // an abstract name
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  (void)::sendto(socket, state.data(), state.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address), size);
  ::close(socket);
}

struct Heartbeat::State {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<std::string> answer;
  bool over = false;
};

Heartbeat::Heartbeat(Ask ask) : state_(std::make_shared<State>()) {
  if (std::getenv("NOTIFY_SOCKET") == nullptr) return;
  const auto limit = watchdog_limit();
  const microseconds period = limit ? *limit / pings_within_limit : microseconds(status_period);
  thread_ = std::thread([this, ask = std::move(ask), period, watched = limit.has_value()] {
    run(ask, period, watched);
  });
}

void Heartbeat::run(const Ask& ask, microseconds period, bool watched) {
  std::string told;
  std::unique_lock lock(state_->mutex);
  while (!state_->over) {
    lock.unlock();
    ask([state = state_](std::string answer) {
      const std::lock_guard guard(state->mutex);
      state->answer = std::move(answer);
      state->changed.notify_all();
    });
    lock.lock();
    state_->changed.wait(lock, [this] { return state_->answer || state_->over; });
    if (state_->over) return;
    const std::string doing = std::move(*std::exchange(state_->answer, std::nullopt));
    lock.unlock();
    // systemd passes every change on to whoever looks at the unit.
    std::string news = watched ? "WATCHDOG=1\n" : "";
    if (doing != told) news += "STATUS=" + doing;
    if (!news.empty()) notify_systemd(news);
    told = doing;
    lock.lock();
    state_->changed.wait_for(lock, period, [this] { return state_->over; });
  }
}

Heartbeat::~Heartbeat() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->over = true;
    state_->changed.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace scistream::cli

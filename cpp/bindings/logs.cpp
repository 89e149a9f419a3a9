#include "bindings/logs.hpp"

#include <pybind11/pybind11.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "bindings/bindings.hpp"

namespace py = pybind11;

namespace scistream::bindings {

namespace {

/// Whoever logs this much without being heard has more to say than anybody reads.
constexpr std::size_t most_lines = 10'000;

struct Line {
  int level;
  std::string text;
};

/// As the module `logging` numbers them.
int level_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical: return 50;
    case spdlog::level::err: return 40;
    case spdlog::level::warn: return 30;
    case spdlog::level::info: return 20;
    default: return 10;
  }
}

/// Has a mutex of its own, which is never held together with the GIL.
class Queue final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  /// What has come, at the latest after `limit`.
  std::deque<Line> take(std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, limit, [this] { return !lines_.empty() || woken_; });
    woken_ = false;
    if (lost_ > 0) lines_.push_back({30, std::to_string(lost_) + " lines more were lost"});
    lost_ = 0;
    return std::exchange(lines_, {});
  }
  void wake() {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    changed_.notify_all();
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::lock_guard lock(mutex_);
    if (lines_.size() >= most_lines) {
      ++lost_;
      return;
    }
    lines_.push_back(
        {level_of(message.level), std::string(message.payload.data(), message.payload.size())});
    changed_.notify_all();
  }
  void flush_() override {}

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Line> lines_;
  std::size_t lost_ = 0;
  bool woken_ = false;
};

/// Of one process: a forked child can do nothing with locks that its parent's threads may hold.
struct Log {
  explicit Log(pid_t process) : pid(process) {}

  const pid_t pid;
  const std::shared_ptr<Queue> queue = std::make_shared<Queue>();
  const Logger logger = std::make_shared<spdlog::logger>("scistream", queue);
};

/// Never destroyed: servers may log until the process is gone.
const Log& log_of_process() {
  static std::atomic<const Log*> known{nullptr};
  const Log* log = known.load();
  while (log == nullptr || log->pid != ::getpid()) {
    const auto* const made = new Log(::getpid());
    if (known.compare_exchange_strong(log, made)) return *made;
    delete made;
  }
  return *log;
}

const std::shared_ptr<Queue>& queue() { return log_of_process().queue; }

py::list take(double seconds) {
  std::deque<Line> lines;
  {
    const py::gil_scoped_release released;
    lines = queue()->take(std::chrono::milliseconds(static_cast<long long>(seconds * 1000)));
  }
  py::list list;
  for (const Line& line : lines) {
    // Messages may quote what a peer sent.
    const auto text = py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
        line.text.data(), static_cast<py::ssize_t>(line.text.size()), "replace"));
    if (!text) throw py::error_already_set();
    list.append(py::make_tuple(line.level, text));
  }
  return list;
}

}  // namespace

Logger python_logger() { return log_of_process().logger; }

void bind_logs(py::module_& module) {
  module.def("take_logs", &take, py::arg("seconds"));
  module.def("wake_logs", [] { queue()->wake(); });
}

}  // namespace scistream::bindings

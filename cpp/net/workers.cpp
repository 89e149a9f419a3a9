#include "net/workers.hpp"

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "net/signals_blocked.hpp"

namespace scistream::net {

namespace {

constexpr std::chrono::seconds idle_limit{10};
/// Others have waited for it before.
constexpr std::chrono::milliseconds patience{500};

}  // namespace

struct Workers::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> waiting;  ///< For threads that are idle.
  std::size_t idle = 0;
  std::size_t threads = 0;
  bool ending = false;
};

Workers::Workers(std::string name, std::size_t most)
    : shared_(std::make_shared<Shared>()), name_(std::move(name)), most_(most) {}

Workers::~Workers() {
  std::unique_lock lock(shared_->mutex);
  shared_->ending = true;
  shared_->changed.notify_all();
  shared_->changed.wait_for(lock, patience, [this] { return shared_->threads == 0; });
}

bool Workers::run(std::function<void()> work) { return hand_over(std::move(work), most_); }

bool Workers::run_at_once(std::function<void()> work) {
  return hand_over(std::move(work), std::numeric_limits<std::size_t>::max());
}

bool Workers::hand_over(std::function<void()> work, std::size_t most) {
  const std::lock_guard lock(shared_->mutex);
  const std::size_t free = shared_->idle - shared_->waiting.size();
  if (free == 0 && shared_->threads >= most) return false;
  shared_->waiting.push_back(std::move(work));
  if (free > 0) {
    shared_->changed.notify_one();
    return true;
  }
  const SignalsBlocked blocked;
  try {
    std::thread thread([shared = shared_] { work_on(shared); });
    pthread_setname_np(thread.native_handle(), name_.substr(0, 15).c_str());
    thread.detach();
  } catch (const std::system_error&) {
    shared_->waiting.pop_back();
    return false;
  }
  ++shared_->threads;
  // It takes what waits, as if it had been there.
  ++shared_->idle;
  return true;
}

void Workers::work_on(const std::shared_ptr<Shared>& shared) {
  std::unique_lock lock(shared->mutex);
  for (;;) {
    shared->changed.wait_for(lock, idle_limit,
                             [&shared] { return shared->ending || !shared->waiting.empty(); });
    if (shared->waiting.empty()) break;
    auto work = std::move(shared->waiting.front());
    shared->waiting.pop_front();
    --shared->idle;
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
    ++shared->idle;
  }
  --shared->idle;
  --shared->threads;
  shared->changed.notify_all();
}

}  // namespace scistream::net

#pragma once

#include <cxxabi.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"
#include "net/workers.hpp"

namespace scistream::net {

/// What code of users returns, or what it throws, as `failure`.
template <class T, class Work>
Result<T> caught(const Work& work) {
  try {
    return work();
  } catch (const std::exception& error) {
    return Error{Cause::failure, shown(error.what(), 512)};
  } catch (const abi::__forced_unwind&) {
    throw;  // the thread is ending: Python does that to those that come back when it has gone
  } catch (...) {
    return Error{Cause::failure, "it threw something that is no std::exception"};
  }
}

/// Runs code that others have written, on threads that are there for it, and brings the outcome
/// home: to the thread of one context. That thread alone asks, and destroys this, after which
/// nothing comes any more; what is at work then must own what it needs.
class ForeignCode {
 public:
  /// `name` is that of the threads; `most` at one time.
  ForeignCode(boost::asio::io_context& home, std::string name, std::size_t most)
      : home_(home), door_(std::make_shared<Door>(home)), workers_(std::move(name), most) {}
  ForeignCode(const ForeignCode&) = delete;
  ForeignCode& operator=(const ForeignCode&) = delete;
  ~ForeignCode() {
    door_->close();
    if (const auto timer = hurry_.lock()) timer->cancel();
  }

  template <class T>
  struct Ask {
    std::string what;                 ///< For errors: its `listen`.
    std::chrono::milliseconds limit;  ///< After that it is a `timeout`.
    std::function<Result<T>()> work;
    std::function<void(Result<T>)> done;  ///< Once.
    std::function<void(const T&)>
        late;  ///< On the thread, what comes after the limit; may be empty.
  };
  template <class T>
  void ask(Ask<T> asked) {
    const auto question = std::make_shared<Question>();
    const std::uint64_t number = ++last_number_;
    const auto expire = [this, question, number, what = asked.what, done = asked.done] {
      if (!question->close()) return;
      open_.erase(number);
      done(Error{Cause::timeout, what + " has not returned in time"});
    };
    const auto limit = hurry_limit_ ? std::min(asked.limit, *hurry_limit_) : asked.limit;
    const auto timer = std::make_shared<boost::asio::steady_timer>(home_, limit);
    timer->async_wait([timer, expire](const boost::system::error_code& error) {
      if (!error) expire();
    });
    open_.emplace(number, Open{timer, expire});
    const auto work = [this, question, number, door = door_, asked] {
      auto result = std::make_shared<Result<T>>(caught<T>(asked.work));
      if (!question->close()) {
        if (*result && asked.late) asked.late(**result);
        return;
      }
      door->tell([this, number, result, done = asked.done] {
        open_.erase(number);
        done(std::move(*result));
      });
    };
    if (workers_.run(work) || !question->close()) return;
    open_.erase(number);
    asked.done(Error{Cause::exhausted, asked.what + " cannot be called: too much is under way"});
  }

  /// What has not returned within `limit` from now, or from when it is asked later, does not count
  /// any more: this is about to end. May be said again.
  void hurry(std::chrono::milliseconds limit) {
    if (hurry_limit_) return;
    hurry_limit_ = limit;
    const auto timer = std::make_shared<boost::asio::steady_timer>(home_, limit);
    timer->async_wait([this, timer](const boost::system::error_code& error) {
      if (error) return;
      std::vector<std::function<void()>> late;
      for (const auto& [number, open] : open_) late.push_back(open.expire);
      for (const auto& expire : late) expire();
    });
    hurry_ = timer;
  }

  /// `work` for as long as it takes, its outcome to `done`. False if there is no thread for it.
  template <class T>
  bool ask_at_leisure(std::function<Result<T>()> work, std::function<void(Result<T>)> done) {
    return workers_.run_at_once([door = door_, work = std::move(work), done = std::move(done)] {
      door->tell([done, result = std::make_shared<Result<T>>(caught<T>(work))] {
        done(std::move(*result));
      });
    });
  }

  /// Lets go of something where that may run code of users.
  void drop(std::shared_ptr<void> last) {
    (void)workers_.run_at_once([last = std::move(last)] {});
  }

 private:
  /// The way home, until it is closed.
  class Door {
   public:
    explicit Door(boost::asio::io_context& home) : home_(&home) {}
    template <class Then>
    void tell(Then then) {
      const std::lock_guard lock(mutex_);
      if (home_ != nullptr) boost::asio::post(*home_, std::move(then));
    }
    void close() {
      const std::lock_guard lock(mutex_);
      home_ = nullptr;
    }

   private:
    std::mutex mutex_;
    boost::asio::io_context* home_;
  };

  /// Whoever answers first does: the code that was asked, or the clock.
  class Question {
   public:
    /// Whether nobody has answered yet.
    bool close() { return !is_over_.exchange(true); }

   private:
    std::atomic<bool> is_over_{false};
  };

  /// A question that is open, and its end. The timer lives at home alone.
  class Open {
   public:
    Open(std::weak_ptr<boost::asio::steady_timer> timer, std::function<void()> expire)
        : expire(std::move(expire)), timer_(std::move(timer)) {}
    Open(Open&&) = default;
    Open& operator=(Open&&) = delete;
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;
    ~Open() {
      if (const auto timer = timer_.lock()) timer->cancel();
    }
    const std::function<void()> expire;

   private:
    std::weak_ptr<boost::asio::steady_timer> timer_;
  };

  boost::asio::io_context& home_;
  std::uint64_t last_number_ = 0;
  std::map<std::uint64_t, Open> open_;
  std::weak_ptr<boost::asio::steady_timer> hurry_;
  std::optional<std::chrono::milliseconds> hurry_limit_;
  const std::shared_ptr<Door> door_;
  Workers workers_;
};

}  // namespace scistream::net

#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "dataserver/data_server.hpp"

namespace scistream::dataserver {

/// Those who watch one data server. Everything runs on the thread of `context`, except that a Watch
/// may be destroyed on any thread and outlive this object.
class Watchers {
 public:
  using Observer = std::function<void(const Event&)>;
  /// What every session counts now, for the periodic events.
  using Sample = std::function<std::vector<SessionStatus>()>;

  /// Holds an observer until the Watch that shares it is destroyed. Any thread.
  class Subscriber {
   public:
    explicit Subscriber(Observer observer) : observer_(std::move(observer)) {}

    /// False once cancelled. The observer is called under the lock: cancel() waits for it to
    /// return, unless it is called by it, which the mutex being recursive allows.
    bool notify(const Event& event) {
      const std::lock_guard lock(mutex_);
      if (active_) observer_(event);
      return active_;
    }
    bool active() {
      const std::lock_guard lock(mutex_);
      return active_;
    }
    void cancel() {
      const std::lock_guard lock(mutex_);
      active_ = false;
    }

   private:
    std::recursive_mutex mutex_;
    bool active_ = true;
    const Observer observer_;
  };

  Watchers(boost::asio::io_context& context, Sample sample)
      : context_(context), sample_(std::move(sample)) {}

  /// Makes a subscriber and the Watch that ends it. Any thread.
  static std::pair<std::shared_ptr<Subscriber>, std::unique_ptr<Watch>> make(Observer observer);

  /// From now on `subscriber` gets events; its first counters are those of every session that has
  /// counted anything, so that nothing between the call of watch() and this is missed.
  void add(std::shared_ptr<Subscriber> subscriber, std::chrono::milliseconds period);
  /// To everyone.
  void send(const Event& event);
  /// Forgets everyone.
  void clear() { entries_.clear(); }

 private:
  struct Entry {  // Timers hold it weakly: one that has fired already cannot be cancelled.
    std::shared_ptr<Subscriber> subscriber;
    std::chrono::milliseconds period;
    boost::asio::steady_timer timer;
    std::map<SessionKey, Counters> sent;
  };

  void wait(const std::shared_ptr<Entry>& entry);
  void tick(const std::shared_ptr<Entry>& entry);

  boost::asio::io_context& context_;
  const Sample sample_;
  std::vector<std::shared_ptr<Entry>> entries_;
};

}  // namespace scistream::dataserver

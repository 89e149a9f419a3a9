#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <string>
#include <thread>

#include "base/scheduler.hpp"

namespace scistream::net {

/// A scheduler with a thread of its own, which it starts and joins. Work still queued at
/// destruction is dropped.
class AsioScheduler final : public Scheduler {
 public:
  /// The kernel keeps 15 characters of its thread's name.
  explicit AsioScheduler(const std::string& name = "sci-scheduler");
  ~AsioScheduler() override;
  AsioScheduler(const AsioScheduler&) = delete;
  AsioScheduler& operator=(const AsioScheduler&) = delete;

  [[nodiscard]] time_point now() const override { return std::chrono::steady_clock::now(); }
  void post(std::function<void()> work) override;
  [[nodiscard]] Timer after(duration delay, std::function<void()> work) override;

  /// Finishes what has been posted so far and ends the thread. Not to be called on that thread.
  void stop();

 private:
  boost::asio::io_context context_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::thread thread_;
};

}  // namespace scistream::net

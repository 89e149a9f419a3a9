#include "net/asio_scheduler.hpp"

#include <pthread.h>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <utility>

namespace scistream::net {

AsioScheduler::AsioScheduler(const std::string& name)
    : context_(1), work_(context_.get_executor()) {
  // Signals belong to the thread that waits for them, never to this one.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { context_.run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), name.c_str());
}

AsioScheduler::~AsioScheduler() {
  context_.stop();
  stop();
}

void AsioScheduler::stop() {
  work_.reset();
  if (!thread_.joinable()) return;
  boost::asio::post(context_, [this] { context_.stop(); });
  thread_.join();
}

void AsioScheduler::post(std::function<void()> work) {
  boost::asio::post(context_, std::move(work));
}

namespace {

struct AsioPending final : Scheduler::Pending {
  AsioPending(boost::asio::io_context& context, Scheduler::duration delay,
              std::function<void()> call)
      : timer(context, delay), work(std::move(call)) {}

  void cancel() noexcept override {
    work = nullptr;
    try {
      timer.cancel();
    } catch (const boost::system::system_error&) {  // the call then finds nothing to do
    }
  }

  boost::asio::steady_timer timer;
  std::function<void()> work;
};

}  // namespace

Scheduler::Timer AsioScheduler::after(duration delay, std::function<void()> work) {
  auto pending = std::make_shared<AsioPending>(context_, delay, std::move(work));
  pending->timer.async_wait([pending](boost::system::error_code error) {
    if (error || !pending->work) return;
    const auto call = std::exchange(pending->work, nullptr);
    call();
  });
  return Timer(std::move(pending));
}

}  // namespace scistream::net

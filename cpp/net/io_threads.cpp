#include "net/io_threads.hpp"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <thread>

#include "net/signals_blocked.hpp"

namespace scistream::net {

namespace {

/// Lets the contexts be shut down together: a handler of one may own sockets of another, so no
/// context may be freed before the handlers of all are destroyed.
class Context : public boost::asio::io_context {
 public:
  Context() : io_context(1) {}  // concurrency hint: one thread
  using execution_context::shutdown;
};

}  // namespace

struct IoThreads::Worker {
  Context context;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{
      context.get_executor()};
  std::thread thread;
};

IoThreads::IoThreads(std::size_t count, const std::string& name) {
  const SignalsBlocked blocked;
  try {
    for (std::size_t i = 0; i < std::max<std::size_t>(count, 1); ++i) {
      auto worker = std::make_unique<Worker>();
      // The context opens its own descriptors (epoll and others) at first use, and throws if there
      // are none left: now, not in the middle of the data path.
      const boost::asio::ip::tcp::socket first_use(worker->context);
      worker->thread = std::thread([context = &worker->context] { context->run(); });
      // The kernel keeps 15 characters.
      const std::string thread_name = (name + "-" + std::to_string(i)).substr(0, 15);
      pthread_setname_np(worker->thread.native_handle(), thread_name.c_str());
      workers_.push_back(std::move(worker));
    }
  } catch (...) {
    stop();
    throw;
  }
}

IoThreads::~IoThreads() {
  stop();
  for (const auto& worker : workers_) worker->context.shutdown();
}

boost::asio::io_context& IoThreads::next() noexcept {
  return at(turn_.fetch_add(1, std::memory_order_relaxed));
}

boost::asio::io_context& IoThreads::at(std::size_t index) noexcept {
  return workers_[index % workers_.size()]->context;
}

void IoThreads::stop() {
  for (const auto& worker : workers_) worker->context.stop();
  for (const auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.join();
  }
}

}  // namespace scistream::net

#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace scistream::net {

/// Owns N I/O contexts, each run by one thread of its own: what belongs to one context is touched
/// by one thread only and needs no locks. Every signal is blocked in these threads, so signals go
/// to the threads that expect them and writing to a closed connection is an error code, not
/// SIGPIPE.
///
/// Whatever lives on the contexts must not outlive this object. next(), at() and size() may be
/// called from any thread; stop() and the destructor from any but the I/O threads themselves.
class IoThreads {
 public:
  /// Starts `count` threads (at least one), named `<name>-0`, `<name>-1`, …; throws
  /// std::runtime_error if the system refuses a thread or a descriptor.
  explicit IoThreads(std::size_t count, const std::string& name = "sci-io");
  IoThreads(const IoThreads&) = delete;
  IoThreads& operator=(const IoThreads&) = delete;
  ~IoThreads();

  /// The contexts in turn.
  boost::asio::io_context& next() noexcept;
  boost::asio::io_context& at(std::size_t index) noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return workers_.size(); }

  /// Ends every thread after the handler that it runs; pending handlers are destroyed, not called.
  /// Safe to repeat.
  void stop();

 private:
  struct Worker;

  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<std::size_t> turn_{0};
};

}  // namespace scistream::net

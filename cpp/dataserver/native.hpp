#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/log.hpp"
#include "dataserver/data_server.hpp"
#include "net/io_threads.hpp"
#include "net/tls_suite.hpp"
#include "relay/options.hpp"

namespace scistream::dataserver {

struct NativeOptions {
  /// Threads that move bytes, if the data server makes its own; 0 is one a core.
  std::size_t io_threads = 0;
  /// Of encrypted sessions, in order of preference; not empty.
  std::vector<net::Ciphersuite> ciphersuites{net::Ciphersuite::aes_128_gcm};
  relay::Options relay;
};

/// The data server inside this process: one relay a session. Owns a bookkeeping thread, on which
/// everything but the bytes happens and every callback and observer is called.
///
/// Destroying it resets every connection and frees every port before the destructor returns;
/// callbacks still open are called with `cancelled` (a drain) or `unavailable` (anything else), and
/// observers with `lost`. It must not be destroyed by one of its own callbacks.
class NativeDataServer final : public DataServer {
 public:
  /// Makes its own I/O threads.
  NativeDataServer(NativeOptions options, Logger log);
  /// Shares `threads`, which must outlive it and run until it is destroyed.
  NativeDataServer(net::IoThreads& threads, NativeOptions options, Logger log);
  ~NativeDataServer() override;

  void info(Callback<Info> done) override;
  void reserve(const ReserveRequest& request, Callback<Reservation> done) override;
  void update(const UpdateRequest& request, Callback<void> done) override;
  void release(const SessionKey& session, Ending ending, Callback<void> done) override;
  void status(const std::optional<SessionKey>& session,
              Callback<std::vector<SessionStatus>> done) override;
  [[nodiscard]] std::unique_ptr<Watch> watch(std::chrono::milliseconds period,
                                             std::function<void(const Event&)> observer) override;

 private:
  template <class Work>
  void post(Work work);

  std::unique_ptr<net::IoThreads> own_threads_;  ///< Empty when they are shared.
  net::IoThreads bookkeeping_;
  class Sessions;
  std::unique_ptr<Sessions> sessions_;
};

}  // namespace scistream::dataserver

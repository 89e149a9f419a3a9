#pragma once

#include <functional>
#include <memory>

#include "base/log.hpp"
#include "dataserver/forwarder.hpp"
#include "net/io_threads.hpp"

namespace scistream::dataserver {

class Sessions;

/// A data server of this process: forwards one way or another. Owns a bookkeeping thread, on which
/// everything but the bytes happens and every callback and observer is called.
///
/// Destroying it resets every connection and frees every port before the destructor returns;
/// callbacks still open are called with `cancelled` (a drain, an update) or `unavailable` (anything
/// else), and observers with `lost`. It must not be destroyed by one of its own callbacks.
class LocalDataServer : public DataServer {
 public:
  /// Makes the forwarding, which may use the context until it is destroyed.
  using Make = std::function<std::unique_ptr<Forwarding>(boost::asio::io_context& bookkeeping)>;

  LocalDataServer(const Make& make, Logger log);
  ~LocalDataServer() override;

  void info(Callback<Info> done) override;
  void reserve(const ReserveRequest& request, Callback<Reservation> done) override;
  void update(const UpdateRequest& request, Callback<void> done) override;
  void release(const SessionKey& session, Ending ending, Callback<Released> done) override;
  void hurry() override;
  void status(const std::optional<SessionKey>& session,
              Callback<std::vector<SessionStatus>> done) override;
  [[nodiscard]] std::unique_ptr<Watch> watch(std::chrono::milliseconds period,
                                             std::function<void(const Event&)> observer) override;

 private:
  template <class Work>
  void post(Work work);

  net::IoThreads bookkeeping_;
  std::unique_ptr<Sessions> sessions_;
};

}  // namespace scistream::dataserver

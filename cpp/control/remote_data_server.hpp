#pragma once

#include <memory>
#include <string>

#include "control/credentials.hpp"
#include "dataserver/data_server.hpp"

namespace scistream::control {

class OpenCalls;

/// A data server in another process: beside this one behind a Unix socket, or on another gateway
/// node. Every call has a deadline, so callbacks always come; they run on gRPC's threads.
/// Its loss ends every `watch` with one `lost` event: at once where the process dies, within 2 s
/// where its machine vanishes. Its destructor cancels what is under way and waits for it; not to be
/// called from a callback.
class RemoteDataServer final : public dataserver::DataServer {
 public:
  /// `target` is `unix:PATH` or `host:port`.
  RemoteDataServer(const std::string& target, bool tls, const TlsFiles& files);
  ~RemoteDataServer() override;

  void info(dataserver::Callback<dataserver::Info> done) override;
  void reserve(const dataserver::ReserveRequest& request,
               dataserver::Callback<dataserver::Reservation> done) override;
  void update(const dataserver::UpdateRequest& request, dataserver::Callback<void> done) override;
  void release(const SessionKey& session, dataserver::Ending ending,
               dataserver::Callback<dataserver::Released> done) override;
  void status(const std::optional<SessionKey>& session,
              dataserver::Callback<std::vector<dataserver::SessionStatus>> done) override;
  [[nodiscard]] std::unique_ptr<dataserver::Watch> watch(
      std::chrono::milliseconds period,
      std::function<void(const dataserver::Event&)> observer) override;

 private:
  std::shared_ptr<OpenCalls> open_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<scistream::DataServer::Stub> stub_;
};

}  // namespace scistream::control

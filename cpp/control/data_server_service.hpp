#pragma once

#include <atomic>
#include <chrono>
#include <memory>

#include "control/event_stream.hpp"
#include "control/grpc.hpp"
#include "control/unary_call.hpp"
#include "dataserver/data_server.hpp"

namespace scistream::control {

/// The rpcs of `scistream.DataServer` in front of a data server of this process. Owned by the
/// server that serves it; handlers run on gRPC's threads and never block.
class DataServerService final : public DataServer::CallbackService {
 public:
  DataServerService(dataserver::DataServer& data_server, Gate gate)
      : data_server_(data_server), gate_(gate) {}

  grpc::ServerUnaryReactor* info(grpc::CallbackServerContext* context,
                                 const DataServerInfoRequest* request,
                                 DataServerInfo* response) override;
  grpc::ServerUnaryReactor* reserve(grpc::CallbackServerContext* context,
                                    const ReserveListeners* request,
                                    ReservedListeners* response) override;
  grpc::ServerUnaryReactor* update(grpc::CallbackServerContext* context, const SetTargets* request,
                                   Done* response) override;
  grpc::ServerUnaryReactor* release(grpc::CallbackServerContext* context,
                                    const ReleaseListeners* request,
                                    ReleasedListeners* response) override;
  grpc::ServerUnaryReactor* status(grpc::CallbackServerContext* context,
                                   const DataServerStatusRequest* request,
                                   DataSessions* response) override;
  grpc::ServerWriteReactor<DataEvent>* watch(grpc::CallbackServerContext* context,
                                             const DataServerWatchRequest* request) override;

  /// Control servers present: open `watch` streams.
  [[nodiscard]] int watchers() const noexcept { return *watchers_; }

 private:
  void tell(const std::shared_ptr<EventStream<DataEvent>>& stream,
            std::chrono::milliseconds period);

  dataserver::DataServer& data_server_;
  const Gate gate_;
  std::shared_ptr<std::atomic<int>> watchers_ = std::make_shared<std::atomic<int>>(0);
};

}  // namespace scistream::control

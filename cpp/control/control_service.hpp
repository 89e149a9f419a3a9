#pragma once

#include <memory>
#include <string>
#include <vector>

#include "auth/authorizer.hpp"
#include "auth/places.hpp"
#include "control/event_stream.hpp"
#include "control/grpc.hpp"
#include "control/unary_call.hpp"
#include "session/manager.hpp"

namespace scistream::control {

/// The rpcs of `scistream.Control`: wire in, Manager call, wire out. Owned by the server that
/// serves it; handlers run on gRPC's threads and never block.
class ControlService final : public Control::CallbackService {
 public:
  struct Facts {
    dataserver::Info data_server;
    bool encrypted = true;  ///< The control channel is TLS: keys may cross it from anywhere.
    auth::LoginHint login;
  };

  ControlService(session::Manager& manager, Gate gate, Facts facts)
      : manager_(manager), gate_(gate), facts_(std::move(facts)) {}

  grpc::ServerUnaryReactor* req(grpc::CallbackServerContext* context, const Request* request,
                                Response* response) override;
  grpc::ServerUnaryReactor* update(grpc::CallbackServerContext* context,
                                   const UpdateTargets* request, Response* response) override;
  grpc::ServerUnaryReactor* release(grpc::CallbackServerContext* context, const Release* request,
                                    Response* response) override;
  grpc::ServerUnaryReactor* hello(grpc::CallbackServerContext* context, const Hello* request,
                                  AppResponse* response) override;
  grpc::ServerUnaryReactor* rate(grpc::CallbackServerContext* context, const RateChange* request,
                                 RateInForce* response) override;
  grpc::ServerUnaryReactor* info(grpc::CallbackServerContext* context, const InfoRequest* request,
                                 ServerInfo* response) override;
  grpc::ServerUnaryReactor* status(grpc::CallbackServerContext* context,
                                   const StatusRequest* request, SessionList* response) override;
  grpc::ServerUnaryReactor* list(grpc::CallbackServerContext* context, const ListRequest* request,
                                 SessionList* response) override;
  grpc::ServerWriteReactor<SessionEvent>* watch(grpc::CallbackServerContext* context,
                                                const WatchRequest* request) override;

 private:
  /// Begins it; or why not.
  grpc::Status begin_watch(const std::shared_ptr<EventStream<SessionEvent>>& stream,
                           const WatchRequest& request, const auth::Permit& permit);
  /// Keys cross a plaintext channel on loopback only (PROTOCOL §7, Transport).
  [[nodiscard]] Status check_key_channel(const auth::Caller& caller, bool carries_key) const;

  session::Manager& manager_;
  const Gate gate_;
  Facts facts_;
  /// That one user has open.
  static constexpr std::size_t most_watches = 100;
  auth::Places watches_{most_watches};
};

}  // namespace scistream::control

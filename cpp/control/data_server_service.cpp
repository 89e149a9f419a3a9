#include "control/data_server_service.hpp"

#include <algorithm>

#include "control/event_stream.hpp"
#include "control/unary_call.hpp"
#include "control/wire.hpp"

namespace scistream::control {

namespace {

constexpr std::chrono::milliseconds shortest_period{10};

}  // namespace

grpc::ServerUnaryReactor* DataServerService::info(grpc::CallbackServerContext* context,
                                                  const DataServerInfoRequest*,
                                                  DataServerInfo* response) {
  return serve(gate_, *context, {"info"}, [this, response](UnaryCall* call, const auth::Permit&) {
    data_server_.info([call, response](Result<dataserver::Info> info) {
      if (!info) return call->finish(to_grpc(info.error()));
      response->set_kind(info->kind);
      response->set_version(info->version);
      response->mutable_transports()->Add(info->transports.begin(), info->transports.end());
      response->set_sessions(info->sessions);
      call->finish(grpc::Status::OK);
    });
  });
}

grpc::ServerUnaryReactor* DataServerService::reserve(grpc::CallbackServerContext* context,
                                                     const ReserveListeners* request,
                                                     ReservedListeners* response) {
  return serve(gate_, *context, {"reserve"},
               [this, request, response](UnaryCall* call, const auth::Permit&) {
                 const auto wanted = from_wire(*request);
                 if (!wanted) return call->finish(to_grpc(wanted.error()));
                 data_server_.reserve(
                     *wanted, [call, response](Result<dataserver::Reservation> reservation) {
                       if (!reservation) return call->finish(to_grpc(reservation.error()));
                       response->set_id(reservation->id);
                       response->mutable_ports()->Add(reservation->ports.begin(),
                                                      reservation->ports.end());
                       call->finish(grpc::Status::OK);
                     });
               });
}

grpc::ServerUnaryReactor* DataServerService::update(grpc::CallbackServerContext* context,
                                                    const SetTargets* request, Done*) {
  return serve(gate_, *context, {"update"}, [this, request](UnaryCall* call, const auth::Permit&) {
    const auto update = from_wire(*request);
    if (!update) return call->finish(to_grpc(update.error()));
    data_server_.update(*update, [call](const Status& status) { call->finish(to_grpc(status)); });
  });
}

grpc::ServerUnaryReactor* DataServerService::release(grpc::CallbackServerContext* context,
                                                     const ReleaseListeners* request,
                                                     ReleasedListeners* response) {
  return serve(gate_, *context, {"release"},
               [this, request, response](UnaryCall* call, const auth::Permit&) {
                 const auto key = from_wire(request->session());
                 if (!key) return call->finish(to_grpc(key.error()));
                 const auto how =
                     request->drain() ? dataserver::Ending::drain : dataserver::Ending::cut;
                 data_server_.release(
                     *key, how, [call, response](const Result<dataserver::Released>& released) {
                       if (!released) return call->finish(to_grpc(released.error()));
                       to_wire(*released, response);
                       call->finish(grpc::Status::OK);
                     });
               });
}

grpc::ServerUnaryReactor* DataServerService::status(grpc::CallbackServerContext* context,
                                                    const DataServerStatusRequest* request,
                                                    DataSessions* response) {
  return serve(gate_, *context, {"status"},
               [this, request, response](UnaryCall* call, const auth::Permit&) {
                 std::optional<SessionKey> session;
                 if (request->has_session()) {
                   auto key = from_wire(request->session());
                   if (!key) return call->finish(to_grpc(key.error()));
                   session = std::move(*key);
                 }
                 data_server_.status(
                     session, [call, response](Result<std::vector<dataserver::SessionStatus>> all) {
                       if (!all) return call->finish(to_grpc(all.error()));
                       for (const auto& one : *all) to_wire(one, response->add_sessions());
                       call->finish(grpc::Status::OK);
                     });
               });
}

grpc::ServerWriteReactor<DataEvent>* DataServerService::watch(
    grpc::CallbackServerContext* context, const DataServerWatchRequest* request) {
  auto stream = std::make_shared<EventStream<DataEvent>>();
  stream->hold();
  auto* reactor = stream->start();
  pass(
      gate_, *context, {"watch"},
      [this, context, request, stream](const auth::Permit&, const Audited&) {
        tell(stream, std::chrono::milliseconds(request->period_ms()));
        // Tells the caller at once that it is watched.
        context->AddInitialMetadata("scistream-watch", "open");
        stream->StartSendInitialMetadata();
        stream->decide();
      },
      [stream](const grpc::Status& status) {
        stream->close(status);
        stream->decide();
      });
  return reactor;
}

void DataServerService::tell(const std::shared_ptr<EventStream<DataEvent>>& stream,
                             std::chrono::milliseconds period) {
  // Counted as present for as long as the stream holds it.
  struct Presence {
    Presence(std::shared_ptr<std::atomic<int>> all) : count(std::move(all)) { ++*count; }  // NOLINT
    Presence(const Presence&) = delete;
    Presence& operator=(const Presence&) = delete;
    ~Presence() { --*count; }
    std::shared_ptr<std::atomic<int>> count;
    std::unique_ptr<dataserver::Watch> watch;
  };
  auto presence = std::make_shared<Presence>(watchers_);
  presence->watch = data_server_.watch(
      std::max(period, shortest_period),
      [weak = std::weak_ptr(stream)](const dataserver::Event& event) {
        const auto open = weak.lock();
        if (!open) return;
        DataEvent message;
        to_wire(event, &message);
        open->push(std::move(message), event.kind == dataserver::Event::Kind::counters);
      });
  stream->own(std::move(presence));
}

}  // namespace scistream::control

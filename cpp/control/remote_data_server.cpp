#include "control/remote_data_server.hpp"

#include <mutex>
#include <optional>
#include <utility>

#include "control/open_calls.hpp"
#include "control/wire.hpp"

namespace scistream::control {

namespace {

/// A data server answers in milliseconds; binding 4096 listeners takes some tens of them.
constexpr std::chrono::seconds call_deadline{5};
/// An update may have to wait for a program that starts in a container.
constexpr std::chrono::seconds update_deadline{40};
/// A cut may have to wait for one that does not end when it is asked to.
constexpr std::chrono::seconds release_deadline{10};
/// However long it takes.
constexpr std::optional<std::chrono::seconds> no_deadline;

using Async = class DataServer::Stub::async;

template <class Query, class Answer>
struct Pending {
  explicit Pending(std::shared_ptr<OpenCalls> open) : context(std::move(open)) {}
  OpenContext context;
  Query request;
  Answer response;
};

/// Starts one unary call. `convert` turns the answer into what `done` wants.
template <class Answer, class Query, class T, class Convert>
void call(const std::shared_ptr<OpenCalls>& open, scistream::DataServer::Stub& stub,
          void (Async::*method)(grpc::ClientContext*, const Query*, Answer*,
                                std::function<void(grpc::Status)>),
          Query request, std::optional<std::chrono::seconds> deadline, dataserver::Callback<T> done,
          Convert convert) {
  auto pending = std::make_shared<Pending<Query, Answer>>(open);
  if (!pending->context) return done(Error{Cause::cancelled, "the client is going away"});
  pending->request = std::move(request);
  if (deadline) pending->context->set_deadline(std::chrono::system_clock::now() + *deadline);
  (stub.async()->*method)(pending->context.get(), &pending->request, &pending->response,
                          [pending, done = std::move(done), convert](const grpc::Status& status) {
                            if (!status.ok()) return done(pending->context.error_of(status));
                            done(convert(pending->response));
                          });
}

/// One open watch. Owned by itself until gRPC is done with it; the handle only silences it.
class WatchCall final : public grpc::ClientReadReactor<DataEvent> {
 public:
  WatchCall(std::shared_ptr<OpenCalls> open, DataServer::Stub& stub,
            std::chrono::milliseconds period,
            std::function<void(const dataserver::Event&)> observer)
      : context_(std::in_place, std::move(open)), observer_(std::move(observer)) {
    request_.set_period_ms(static_cast<std::uint32_t>(period.count()));
    stub.async()->watch(context_->get(), &request_, this);
  }

  void start(std::shared_ptr<WatchCall> self) {
    self_ = std::move(self);
    StartRead(&event_);
    StartCall();
  }

  void silence() {
    const std::lock_guard lock(mutex_);
    observer_ = nullptr;
    if (context_) context_->cancel();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (const auto event = from_wire(event_)) tell(*event);
    StartRead(&event_);
  }

  void OnDone(const grpc::Status& status) override {
    dataserver::Event lost;
    lost.kind = dataserver::Event::Kind::lost;
    lost.detail = status.ok() ? "it ended the watch" : status.error_message();
    tell(lost);
    {
      // The handle may live on; the call's hold on the channel must not.
      const std::lock_guard lock(mutex_);
      context_.reset();
    }
    const auto last = std::move(self_);
  }

  void tell(const dataserver::Event& event) {
    const std::lock_guard lock(mutex_);
    if (observer_) observer_(event);
  }

  std::optional<OpenContext> context_;
  DataServerWatchRequest request_;
  DataEvent event_;
  std::recursive_mutex mutex_;  // the observer may end its own watch
  std::function<void(const dataserver::Event&)> observer_;
  std::shared_ptr<WatchCall> self_;
};

class WatchHandle final : public dataserver::Watch {
 public:
  explicit WatchHandle(std::shared_ptr<WatchCall> call) : call_(std::move(call)) {}
  WatchHandle(const WatchHandle&) = delete;
  WatchHandle& operator=(const WatchHandle&) = delete;
  ~WatchHandle() override { call_->silence(); }

 private:
  std::shared_ptr<WatchCall> call_;
};

Status nothing(const Done&) { return {}; }

}  // namespace

RemoteDataServer::RemoteDataServer(const std::string& target, bool tls, const TlsFiles& files)
    : open_(std::make_shared<OpenCalls>()),
      channel_(make_channel(target, channel_credentials(tls, files), !target.starts_with("unix:"))),
      stub_(scistream::DataServer::NewStub(channel_)) {}

RemoteDataServer::~RemoteDataServer() { open_->close(); }

void RemoteDataServer::info(dataserver::Callback<dataserver::Info> done) {
  call<DataServerInfo>(open_, *stub_, &Async::info, DataServerInfoRequest(), call_deadline,
                       std::move(done), [](const DataServerInfo& info) -> Result<dataserver::Info> {
                         return dataserver::Info{
                             info.kind(),
                             info.version(),
                             {info.transports().begin(), info.transports().end()},
                             info.sessions()};
                       });
}

void RemoteDataServer::reserve(const dataserver::ReserveRequest& request,
                               dataserver::Callback<dataserver::Reservation> done) {
  call<ReservedListeners>(open_, *stub_, &Async::reserve, to_wire(request), call_deadline,
                          std::move(done),
                          [](const ReservedListeners& answer) -> Result<dataserver::Reservation> {
                            dataserver::Reservation reservation;
                            reservation.id = answer.id();
                            for (const std::uint32_t port : answer.ports()) {
                              reservation.ports.push_back(static_cast<std::uint16_t>(port));
                            }
                            return reservation;
                          });
}

void RemoteDataServer::update(const dataserver::UpdateRequest& request,
                              dataserver::Callback<void> done) {
  call<Done>(open_, *stub_, &Async::update, to_wire(request), update_deadline, std::move(done),
             nothing);
}

void RemoteDataServer::release(const SessionKey& session, dataserver::Ending ending,
                               dataserver::Callback<dataserver::Released> done) {
  ReleaseListeners request;
  to_wire(session, request.mutable_session());
  request.set_drain(ending == dataserver::Ending::drain);
  // A drain lasts as long as its connections do; the loss of the data server ends it all the same.
  call<ReleasedListeners>(
      open_, *stub_, &Async::release, std::move(request),
      ending == dataserver::Ending::cut ? std::optional(release_deadline) : no_deadline,
      std::move(done), [](const ReleasedListeners& answer) -> Result<dataserver::Released> {
        return from_wire(answer);
      });
}

void RemoteDataServer::status(const std::optional<SessionKey>& session,
                              dataserver::Callback<std::vector<dataserver::SessionStatus>> done) {
  DataServerStatusRequest request;
  if (session) to_wire(*session, request.mutable_session());
  call<DataSessions>(
      open_, *stub_, &Async::status, std::move(request), call_deadline, std::move(done),
      [](const DataSessions& answer) -> Result<std::vector<dataserver::SessionStatus>> {
        std::vector<dataserver::SessionStatus> all;
        for (const DataSession& message : answer.sessions()) {
          auto status = from_wire(message);
          if (!status) return status.error();
          all.push_back(std::move(*status));
        }
        return all;
      });
}

std::unique_ptr<dataserver::Watch> RemoteDataServer::watch(
    std::chrono::milliseconds period, std::function<void(const dataserver::Event&)> observer) {
  auto watch = std::make_shared<WatchCall>(open_, *stub_, period, std::move(observer));
  watch->start(watch);
  return std::make_unique<WatchHandle>(std::move(watch));
}

}  // namespace scistream::control

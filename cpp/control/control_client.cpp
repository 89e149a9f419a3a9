#include "control/control_client.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "control/credentials.hpp"
#include "control/status_map.hpp"
#include "control/wire.hpp"
#include "net/probe.hpp"

namespace scistream::control {

namespace {

constexpr std::chrono::milliseconds first_backoff{20};
constexpr std::chrono::milliseconds longest_backoff{500};
constexpr std::chrono::milliseconds retry_window{5'000};

using Async = class Control::Stub::async;

}  // namespace

/// What all calls of one client share. Kept alive by them.
class ControlClient::Impl : public std::enable_shared_from_this<ControlClient::Impl> {
 public:
  Impl(Scheduler& scheduler, ServerAccess access)
      : scheduler(scheduler),
        access(std::move(access)),
        stub(Control::NewStub(make_channel(
            to_string(this->access.endpoint),
            channel_credentials(this->access.tls, {"", "", this->access.roots}), false))) {}

  void prepare(grpc::ClientContext& context, milliseconds deadline) const {
    context.set_deadline(std::chrono::system_clock::now() + deadline);
    if (!access.token.empty()) context.AddMetadata("authorization", access.token);
  }

  /// Counts a call in, or refuses it when the client is going away.
  bool enter(grpc::ClientContext* context) {
    const std::lock_guard lock(mutex_);
    if (closing_) return false;
    open_.insert(context);
    return true;
  }

  /// Counts a call out. Its context holds the channel, and is gone when this returns.
  void leave(std::unique_ptr<grpc::ClientContext> context) {
    const std::lock_guard lock(mutex_);
    open_.erase(context.get());
    context.reset();
    idle_.notify_all();
  }

  void close() {
    std::unique_lock lock(mutex_);
    closing_ = true;
    for (grpc::ClientContext* context : open_) context->TryCancel();
    idle_.wait(lock, [this] { return open_.empty() && probes_ == 0; });
    // gRPC joins its callback threads when its last channel goes: here, never on one of them.
    stub.reset();
  }

  [[nodiscard]] bool closing() {
    const std::lock_guard lock(mutex_);
    return closing_;
  }

  /// Finds out, off the scheduler, why the server is unavailable.
  void diagnose(std::function<void(Status)> done) {
    {
      const std::lock_guard lock(mutex_);
      if (closing_) return done(Error{Cause::cancelled, "the client is going away"});
      ++probes_;
    }
    std::thread([self = shared_from_this(), done = std::move(done)] {
      Status verdict =
          net::probe_server(self->access.endpoint, self->access.tls, self->access.roots);
      self->scheduler.post([done, verdict = std::move(verdict)] { done(verdict); });
      const std::lock_guard lock(self->mutex_);
      --self->probes_;
      self->idle_.notify_all();
    }).detach();
  }

  Scheduler& scheduler;
  const ServerAccess access;
  std::unique_ptr<Control::Stub> stub;
  std::atomic<bool> reached{false};  ///< The server has answered once.

 private:
  std::mutex mutex_;
  std::condition_variable idle_;
  std::set<grpc::ClientContext*> open_;
  int probes_ = 0;
  bool closing_ = false;
};

namespace {

using std::chrono::milliseconds;
using ImplPtr = std::shared_ptr<ControlClient::Impl>;

/// One logical unary call: its attempts, one after another. Lives on the scheduler, except for
/// `cancel`, which may come from anywhere.
template <class Query, class Answer, class T>
class UnaryAttempts final : public Call,
                            public std::enable_shared_from_this<UnaryAttempts<Query, Answer, T>> {
 public:
  using Method = void (Async::*)(grpc::ClientContext*, const Query*, Answer*,
                                 std::function<void(grpc::Status)>);

  UnaryAttempts(ImplPtr impl, Method method, Query request, milliseconds deadline, bool may_repeat,
                session::Callback<T> done, std::function<Result<T>(const Answer&)> convert)
      : impl_(std::move(impl)),
        method_(method),
        request_(std::move(request)),
        deadline_(impl_->scheduler.now() + deadline),
        may_repeat_(may_repeat),
        done_(std::move(done)),
        convert_(std::move(convert)) {}

  void start() {
    auto attempt = std::make_shared<Attempt>();
    attempt->context = std::make_unique<grpc::ClientContext>();
    const auto left = std::chrono::duration_cast<milliseconds>(deadline_ - impl_->scheduler.now());
    impl_->prepare(*attempt->context, std::max(left, milliseconds(1)));
    {
      const std::lock_guard lock(mutex_);
      if (cancelled_ || !impl_->enter(attempt->context.get()))
        return finish(Error{Cause::cancelled, "the call was cancelled"});
      current_ = attempt;
    }
    (impl_->stub->async()->*method_)(
        attempt->context.get(), &request_, &attempt->response,
        [self = this->shared_from_this(), attempt](const grpc::Status& status) {
          self->impl_->scheduler.post(
              [self, attempt, status] { self->on_answer(*attempt, status); });
          {
            const std::lock_guard own(self->mutex_);
            self->current_.reset();
          }
          self->impl_->leave(std::move(attempt->context));
        });
  }

  void cancel() override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (current_) current_->context->TryCancel();
  }

 private:
  struct Attempt {
    std::unique_ptr<grpc::ClientContext> context;  ///< Until the call has ended.
    Answer response;
  };

  void on_answer(const Attempt& attempt, const grpc::Status& status) {
    {
      const std::lock_guard lock(mutex_);
      if (cancelled_ && !status.ok())
        return finish(Error{Cause::cancelled, "the call was cancelled"});
    }
    if (status.ok()) {
      impl_->reached = true;
      return finish(convert_(attempt.response));
    }
    Error error = from_grpc(status);
    if (error.cause == Cause::timeout) {
      error.message =
          to_string(impl_->access.endpoint) + " did not answer in time (" + error.message + ")";
    }
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
      error.message = to_string(impl_->access.endpoint) +
                      " does not know this command; it may be a server of another version (" +
                      error.message + ")";
    }
    if (error.cause != Cause::unavailable) {
      impl_->reached = true;
      return finish(std::move(error));
    }
    impl_->diagnose([self = this->shared_from_this(), error](const Status& verdict) {
      self->on_verdict(error, verdict);
    });
  }

  void on_verdict(const Error& error, const Status& verdict) {
    // A server that was there a moment ago may be on its way back, and does not change its kind.
    const bool transient = verdict || verdict.error().cause == Cause::unavailable ||
                           verdict.error().cause == Cause::invalid_argument;
    if (!verdict && !(impl_->reached && transient)) return finish(verdict.error());
    const auto now = impl_->scheduler.now();
    if (failing_since_ == Clock::time_point{}) failing_since_ = now;
    if (!may_repeat_ || now - failing_since_ + backoff_ > retry_window ||
        now + backoff_ >= deadline_) {
      return finish(verdict || verdict.error().cause != Cause::unavailable ? error
                                                                           : verdict.error());
    }
    timer_ = impl_->scheduler.after(backoff_, [self = this->shared_from_this()] { self->start(); });
    backoff_ = std::min(backoff_ * 2, longest_backoff);
  }

  void finish(Result<T> result) {
    impl_->scheduler.post(
        [done = std::exchange(done_, nullptr), result = std::move(result)]() mutable {
          if (done) done(std::move(result));
        });
  }

  ImplPtr impl_;
  Method method_;
  Query request_;
  Clock::time_point deadline_;
  bool may_repeat_;
  session::Callback<T> done_;
  std::function<Result<T>(const Answer&)> convert_;

  std::mutex mutex_;
  bool cancelled_ = false;
  std::shared_ptr<Attempt> current_;

  Clock::time_point failing_since_{};
  milliseconds backoff_ = first_backoff;
  Scheduler::Timer timer_;
};

template <class Answer, class T, class Query, class Convert>
ControlClient::Handle start(const ImplPtr& impl,
                            void (Async::*method)(grpc::ClientContext*, const Query*, Answer*,
                                                  std::function<void(grpc::Status)>),
                            Query request, milliseconds deadline, bool may_repeat,
                            session::Callback<T> done, Convert convert) {
  auto call = std::make_shared<UnaryAttempts<Query, Answer, T>>(
      impl, method, std::move(request), deadline, may_repeat, std::move(done), convert);
  call->start();
  return call;
}

std::vector<std::string> strings(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

/// A deployed server does not say its state.
session::State state_of(const Response& response) {
  Session session;
  session.set_state(response.state());
  return from_wire(session).state;
}

Result<std::vector<session::SessionView>> views_of(const SessionList& answer) {
  std::vector<session::SessionView> views;
  for (const Session& message : answer.sessions()) views.push_back(from_wire(message));
  return views;
}

/// One open watch; owns itself until gRPC is done with it.
class WatchCall final : public grpc::ClientReadReactor<SessionEvent>, public Call {
 public:
  WatchCall(ImplPtr impl, const std::vector<std::string>& uids, milliseconds period,
            std::function<void(const session::SessionEvent&)> observe, session::Callback<void> done)
      : impl_(std::move(impl)), observe_(std::move(observe)), done_(std::move(done)) {
    request_.mutable_uids()->Add(uids.begin(), uids.end());
    request_.set_period_ms(static_cast<std::uint32_t>(period.count()));
    if (!impl_->access.token.empty()) context_->AddMetadata("authorization", impl_->access.token);
  }

  void start(std::shared_ptr<WatchCall> self) {
    if (!impl_->enter(context_.get())) {
      impl_->scheduler.post(
          [done = done_] { done(Error{Cause::cancelled, "the client is going away"}); });
      return;
    }
    self_ = std::move(self);
    impl_->stub->async()->watch(context_.get(), &request_, this);
    StartRead(&event_);
    StartCall();
  }

  void cancel() override {
    const std::lock_guard lock(mutex_);
    if (context_) context_->TryCancel();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    session::SessionEvent event;
    event.session = from_wire(event_.session());
    event.detail = event_.detail();
    if (event_.kind() == "counters") event.kind = session::SessionEvent::Kind::counters;
    if (event_.kind() == "gone") event.kind = session::SessionEvent::Kind::gone;
    impl_->scheduler.post([observe = observe_, event = std::move(event)] { observe(event); });
    StartRead(&event_);
  }

  void OnDone(const grpc::Status& status) override {
    impl_->scheduler.post(
        [done = std::move(done_), result = status.ok() ? Status() : Status(from_grpc(status))] {
          done(result);
        });
    {
      const std::lock_guard lock(mutex_);
      impl_->leave(std::move(context_));
    }
    const auto last = std::move(self_);
  }

  ImplPtr impl_;
  std::mutex mutex_;
  std::unique_ptr<grpc::ClientContext> context_ = std::make_unique<grpc::ClientContext>();
  WatchRequest request_;
  SessionEvent event_;
  std::function<void(const session::SessionEvent&)> observe_;
  session::Callback<void> done_;
  std::shared_ptr<WatchCall> self_;
};

}  // namespace

ControlClient::ControlClient(Scheduler& scheduler, ServerAccess access)
    : impl_(std::make_shared<Impl>(scheduler, std::move(access))) {}

ControlClient::~ControlClient() { impl_->close(); }

const ServerAccess& ControlClient::access() const { return impl_->access; }

ControlClient::Handle ControlClient::request(const session::Request& request, milliseconds deadline,
                                             Callback<session::RequestAnswer> done) {
  // A deployed server answers a repeated req with an error: never repeat it there.
  return start<Response>(impl_, &Async::req, to_wire(request), deadline, false, std::move(done),
                         [](const Response& answer) -> Result<session::RequestAnswer> {
                           return session::RequestAnswer{strings(answer.listeners()),
                                                         strings(answer.prod_listeners()),
                                                         state_of(answer)};
                         });
}

ControlClient::Handle ControlClient::hello(const session::Hello& hello, milliseconds deadline,
                                           Callback<session::HelloAnswer> done) {
  return start<AppResponse>(impl_, &Async::hello, to_wire(hello), deadline, true, std::move(done),
                            [](const AppResponse& answer) -> Result<session::HelloAnswer> {
                              return session::HelloAnswer{answer.message(),
                                                          strings(answer.listeners())};
                            });
}

ControlClient::Handle ControlClient::update(const session::UpdateTargets& update,
                                            Callback<session::UpdateAnswer> done) {
  return start<Response>(impl_, &Async::update, to_wire(update), quick, true, std::move(done),
                         [](const Response& answer) -> Result<session::UpdateAnswer> {
                           return session::UpdateAnswer{strings(answer.listeners()),
                                                        strings(answer.prod_listeners()),
                                                        state_of(answer)};
                         });
}

ControlClient::Handle ControlClient::release(const std::string& uid, const std::string& claim,
                                             Callback<void> done) {
  Release request;
  request.set_uid(uid);
  request.set_claim(claim);
  return start<Response>(impl_, &Async::release, std::move(request), quick, true, std::move(done),
                         [](const Response&) -> Status { return {}; });
}

ControlClient::Handle ControlClient::info(Callback<ServerInfo> done) {
  return start<scistream::ServerInfo>(
      impl_, &Async::info, InfoRequest(), quick, true, std::move(done),
      [](const scistream::ServerInfo& answer) -> Result<ServerInfo> {
        session::Capacity capacity;
        capacity.ports_total = static_cast<int>(answer.ports_total());
        capacity.ports_free = static_cast<int>(answer.ports_free());
        capacity.mbps = answer.capacity_mbps();
        capacity.mbps_free = answer.capacity_free_mbps();
        capacity.sessions = answer.sessions();
        return ServerInfo{answer.version(), strings(answer.data_server_kinds()),
                          strings(answer.transports()), capacity};
      });
}

ControlClient::Handle ControlClient::status(const std::string& uid,
                                            Callback<std::vector<session::SessionView>> done) {
  StatusRequest request;
  request.set_uid(uid);
  return start<SessionList>(impl_, &Async::status, std::move(request), quick, true, std::move(done),
                            views_of);
}

ControlClient::Handle ControlClient::list(const std::vector<std::string>& uids,
                                          Callback<std::vector<session::SessionView>> done) {
  ListRequest request;
  request.mutable_uids()->Add(uids.begin(), uids.end());
  return start<SessionList>(impl_, &Async::list, std::move(request), quick, true, std::move(done),
                            views_of);
}

ControlClient::Handle ControlClient::watch(
    const std::vector<std::string>& uids, milliseconds period,
    std::function<void(const session::SessionEvent&)> observe, Callback<void> done) {
  auto call = std::make_shared<WatchCall>(impl_, uids, period, std::move(observe), std::move(done));
  call->start(call);
  return call;
}

}  // namespace scistream::control

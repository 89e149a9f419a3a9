#include "control/control_client.hpp"

#include <mutex>
#include <optional>
#include <utility>

#include "control/retrying_call.hpp"
#include "control/server_link.hpp"
#include "control/wire.hpp"

namespace scistream::control {

namespace {

using std::chrono::milliseconds;
using Async = class Control::Stub::async;
using LinkPtr = std::shared_ptr<ServerLink>;

/// Longer than anybody waits for the last connection of a session.
constexpr std::chrono::hours longest_drain{24};

template <class Answer, class T, class Query, class Convert>
ControlClient::Handle start(const LinkPtr& link,
                            void (Async::*method)(grpc::ClientContext*, const Query*, Answer*,
                                                  std::function<void(grpc::Status)>),
                            std::function<Query()> request, milliseconds deadline, Repeat repeat,
                            session::Callback<T> done, Convert convert) {
  auto call = std::make_shared<RetryingCall<Query, Answer, T>>(
      link, method, std::move(request), deadline, repeat, std::move(done), convert);
  call->start();
  return call;
}

/// A call whose message is the same at each attempt, and which may be repeated anywhere.
template <class Answer, class T, class Query, class Convert>
ControlClient::Handle start(const LinkPtr& link,
                            void (Async::*method)(grpc::ClientContext*, const Query*, Answer*,
                                                  std::function<void(grpc::Status)>),
                            Query request, session::Callback<T> done, Convert convert) {
  const std::function<Query()> same = [request = std::move(request)] { return request; };
  return start<Answer>(link, method, same, ControlClient::quick, Repeat::anywhere, std::move(done),
                       convert);
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

/// Two calls, one after the other.
class DrainCall final : public Call {
 public:
  void cancel() override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (now_) now_->cancel();
  }
  /// The first call, unless it has been answered already and the next one is under way.
  void begin(ControlClient::Handle first) {
    const std::lock_guard lock(mutex_);
    if (!now_) now_ = std::move(first);
    if (cancelled_) now_->cancel();
  }
  template <class Next>
  void go_on(Next next) {
    const std::lock_guard lock(mutex_);
    now_ = next();
    if (cancelled_) now_->cancel();
  }

 private:
  std::mutex mutex_;
  ControlClient::Handle now_;
  bool cancelled_ = false;
};

/// One open watch; owns itself until gRPC is done with it.
class WatchCall final : public grpc::ClientReadReactor<SessionEvent>, public Call {
 public:
  WatchCall(LinkPtr link, const std::vector<std::string>& uids, milliseconds period,
            Present present, std::function<void(const session::SessionEvent&)> observe,
            session::Callback<void> done)
      : link_(std::move(link)), observe_(std::move(observe)), done_(std::move(done)) {
    request_.mutable_uids()->Add(uids.begin(), uids.end());
    constexpr milliseconds longest = std::chrono::hours(24);
    request_.set_period_ms(static_cast<std::uint32_t>(std::min(period, longest).count()));
    request_.set_present(present == Present::only);
  }

  void start(std::shared_ptr<WatchCall> self) {
    link_->ask_token([this, self = std::move(self)]() mutable { go(std::move(self)); });
  }

  void cancel() override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (context_ && *context_) return context_->cancel();
    // A token may be long in coming.
    if (!has_begun_) finish(Error{Cause::cancelled, "the call was cancelled"});
  }

 private:
  /// The first word counts. With the mutex held.
  void finish(Status result) {
    if (!done_) return;
    link_->scheduler.post(
        [done = std::exchange(done_, nullptr), result = std::move(result)] { done(result); });
  }

  void go(std::shared_ptr<WatchCall> self) {
    {
      const std::lock_guard lock(mutex_);
      if (cancelled_) return;
      context_.emplace(link_->open);
      const Status fit = *context_ ? link_->authorize(**context_)
                                   : Status(Error{Cause::cancelled, "the client is going away"});
      if (!fit) {
        context_.reset();
        return finish(fit);
      }
      has_begun_ = true;
    }
    self_ = std::move(self);
    link_->stub->async()->watch(context_->get(), &request_, this);
    StartRead(&event_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    session::SessionEvent event;
    event.session = from_wire(event_.session());
    event.detail = event_.detail();
    if (event_.kind() == "counters") event.kind = session::SessionEvent::Kind::counters;
    if (event_.kind() == "gone") event.kind = session::SessionEvent::Kind::gone;
    link_->scheduler.post([observe = observe_, event = std::move(event)] { observe(event); });
    StartRead(&event_);
  }

  void OnDone(const grpc::Status& status) override {
    {
      const std::lock_guard lock(mutex_);
      finish(status.ok() ? Status()
                         : Status(link_->refusal(**context_, context_->error_of(status))));
      // The handle may live on; the call's hold on the channel must not.
      context_.reset();
    }
    const auto last = std::move(self_);
  }

  LinkPtr link_;
  std::mutex mutex_;
  bool cancelled_ = false;
  bool has_begun_ = false;
  std::optional<OpenContext> context_;  ///< Of a call that has begun, until it ends.
  WatchRequest request_;
  SessionEvent event_;
  std::function<void(const session::SessionEvent&)> observe_;
  session::Callback<void> done_;
  std::shared_ptr<WatchCall> self_;
};

}  // namespace

ControlClient::ControlClient(Scheduler& scheduler, ServerAccess access)
    : link_(std::make_shared<ServerLink>(scheduler, std::move(access))) {}

ControlClient::~ControlClient() { link_->close(); }

const ServerAccess& ControlClient::access() const { return link_->access; }

LoginHint ControlClient::login_hint() const { return link_->login_hint(); }

std::optional<milliseconds> ControlClient::clock_ahead() const {
  const std::int64_t ahead = link_->clock_ahead;
  if (ahead == ServerLink::unknown_clock) return std::nullopt;
  return milliseconds(ahead);
}

ControlClient::Handle ControlClient::request(const session::Request& request, milliseconds deadline,
                                             Callback<session::RequestAnswer> done) {
  // A deployed server answers a repeated req with an error: never repeat it there.
  const std::function<Request()> same = [message = to_wire(request)] { return message; };
  return start<Response>(link_, &Async::req, same, deadline, Repeat::at_ours, std::move(done),
                         [](const Response& answer) -> Result<session::RequestAnswer> {
                           return session::RequestAnswer{strings(answer.listeners()),
                                                         strings(answer.prod_listeners()),
                                                         state_of(answer),
                                                         answer.transport(),
                                                         answer.protocol(),
                                                         answer.proxy_protocol()};
                         });
}

ControlClient::Handle ControlClient::hello(const session::Hello& hello, const Secret& app_key,
                                           milliseconds deadline,
                                           Callback<session::HelloAnswer> done) {
  const std::function<Hello()> signed_anew = [hello, app_key] {
    session::Hello message = hello;
    session::sign(message, app_key);
    return to_wire(message);
  };
  return start<AppResponse>(
      link_, &Async::hello, signed_anew, deadline, Repeat::anywhere, std::move(done),
      [](const AppResponse& answer) -> Result<session::HelloAnswer> {
        return session::HelloAnswer{answer.message(), strings(answer.listeners())};
      });
}

ControlClient::Handle ControlClient::update(const session::UpdateTargets& update,
                                            Callback<session::UpdateAnswer> done) {
  return start<Response>(link_, &Async::update, to_wire(update), std::move(done),
                         [](const Response& answer) -> Result<session::UpdateAnswer> {
                           return session::UpdateAnswer{
                               strings(answer.listeners()), strings(answer.prod_listeners()),
                               state_of(answer), answer.transport(), answer.protocol()};
                         });
}

ControlClient::Handle ControlClient::release(const std::string& uid, const std::string& claim,
                                             Callback<void> done) {
  Release request;
  request.set_uid(uid);
  request.set_claim(claim);
  return start<Response>(link_, &Async::release, std::move(request), std::move(done),
                         [](const Response&) -> Status { return {}; });
}

ControlClient::Handle ControlClient::drain(const std::string& uid, Callback<void> done) {
  auto call = std::make_shared<DrainCall>();
  // Asked as a call, which is repeated as any other and notes who answers.
  call->begin(info(
      [link = link_, call, uid, done = std::move(done)](const Result<ServerInfo>& answer) mutable {
        const bool unknown_call = !answer && answer.error().cause != Cause::unavailable &&
                                  answer.error().cause != Cause::cancelled &&
                                  answer.error().cause != Cause::timeout;
        if (!answer && !unknown_call) return done(answer.error());
        if (!link->ours) {
          return done(Error{Cause::failed_precondition,
                            to_string(link->access.endpoint) +
                                " cannot wait for live connections: it is a server of another "
                                "version; a release without --drain cuts them"});
        }
        Release request;
        request.set_uid(uid);
        request.set_drain(true);
        const std::function<Release()> same = [request] { return request; };
        call->go_on([&] {
          return start<Response>(link, &Async::release, same, longest_drain, Repeat::anywhere,
                                 std::move(done), [](const Response&) -> Status { return {}; });
        });
      }));
  return call;
}

ControlClient::Handle ControlClient::set_rate(const std::string& uid, const session::Rate& rate,
                                              Callback<session::RateInForce> done) {
  RateChange request;
  request.set_uid(uid);
  request.set_rate_mbps(static_cast<std::uint64_t>(rate.mbps));
  request.set_is_explicit(rate.is_explicit);
  return start<RateInForce>(
      link_, &Async::rate, std::move(request), std::move(done),
      [](const RateInForce& answer) -> Result<session::RateInForce> {
        return session::RateInForce{
            answer.is_leased(),
            {static_cast<long long>(answer.previous_mbps()), answer.previous_was_explicit()}};
      });
}

ControlClient::Handle ControlClient::info(Callback<ServerInfo> done) {
  return start<scistream::ServerInfo>(
      link_, &Async::info, InfoRequest(), std::move(done),
      [](const scistream::ServerInfo& answer) -> Result<ServerInfo> {
        session::Capacity capacity;
        capacity.ports_total = static_cast<int>(answer.ports_total());
        capacity.ports_free = static_cast<int>(answer.ports_free());
        capacity.mbps = answer.capacity_mbps();
        capacity.mbps_free = answer.capacity_free_mbps();
        capacity.sessions = answer.sessions();
        return ServerInfo{answer.version(), strings(answer.data_server_kinds()),
                          answer.data_server_version(), strings(answer.transports()), capacity};
      });
}

ControlClient::Handle ControlClient::status(const std::string& uid, session::Detail detail,
                                            Callback<std::vector<session::SessionView>> done) {
  StatusRequest request;
  request.set_uid(uid);
  request.set_connections(detail == session::Detail::connections);
  return start<SessionList>(link_, &Async::status, std::move(request), std::move(done), views_of);
}

ControlClient::Handle ControlClient::list(const std::vector<std::string>& uids,
                                          Callback<std::vector<session::SessionView>> done) {
  ListRequest request;
  request.mutable_uids()->Add(uids.begin(), uids.end());
  return start<SessionList>(link_, &Async::list, std::move(request), std::move(done), views_of);
}

ControlClient::Handle ControlClient::watch(
    const std::vector<std::string>& uids, milliseconds period, Present present,
    std::function<void(const session::SessionEvent&)> observe, Callback<void> done) {
  auto call = std::make_shared<WatchCall>(link_, uids, period, present, std::move(observe),
                                          std::move(done));
  call->start(call);
  return call;
}

}  // namespace scistream::control

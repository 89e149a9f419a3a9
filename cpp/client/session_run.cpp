#include "client/session_run.hpp"

#include <algorithm>
#include <utility>

namespace scistream::client {

namespace {

using session::ClientAction;
using session::ClientInput;
using std::chrono::milliseconds;

constexpr milliseconds longest_hello_backoff{500};
/// For the answer to the request, when that to its hello is a refusal.
constexpr milliseconds verdict_limit{1'000};

/// With the facility named, since two of them answer.
Error at(const control::ControlClient& client, Error error) {
  const std::string where = to_string(client.access().endpoint);
  if (error.message.find(where) == std::string::npos) error.message = where + ": " + error.message;
  return error;
}

}  // namespace

SessionRun::SessionRun(Scheduler& scheduler, control::ControlClient& producer,
                       control::ControlClient& consumer, SessionRequest request)
    : scheduler_(scheduler), request_(std::move(request)) {
  if (request_.uid.empty()) request_.uid = random_uid();
  producer_.client = &producer;
  producer_.role = Role::producer;
  consumer_.client = &consumer;
  consumer_.role = Role::consumer;
}

void SessionRun::start(Observe observe, Done done) {
  scheduler_.post(
      [self = shared_from_this(), observe = std::move(observe), done = std::move(done)]() mutable {
        if (self->cancelled_) return done(Error{Cause::cancelled, "interrupted"});
        self->observe_ = std::move(observe);
        self->done_ = std::move(done);
        self->started_ = self->scheduler_.now();
        self->result_.uid = self->request_.uid;
        self->timeout_ = self->scheduler_.after(self->request_.timeout, [self] {
          self->fail({Cause::timeout, "the session was not set up within " +
                                          std::to_string(self->request_.timeout.count() / 1000) +
                                          " s"});
        });
        self->apply(ClientInput::start);
      });
}

void SessionRun::cancel() {
  scheduler_.post([self = shared_from_this()] {
    self->cancelled_ = true;
    self->fail({Cause::cancelled, "interrupted"});
  });
}

void SessionRun::apply(ClientInput input) {
  const auto before = machine_.state();
  const auto actions = machine_.apply(input);
  if (!actions) return;  // a late answer to a request that has moved on
  if (machine_.state() != before) {
    const StateChange change{
        machine_.state(),
        std::chrono::duration_cast<std::chrono::microseconds>(scheduler_.now() - started_)};
    result_.states.push_back(change);
    if (observe_) observe_(change);
  }
  for (const ClientAction action : *actions) {
    switch (action) {
      case ClientAction::send_requests:
        send_request(producer_);
        send_request(consumer_);
        break;
      case ClientAction::make_map: make_map(); break;
      case ClientAction::send_updates: {
        std::vector<Endpoint> producer_targets;
        for (const std::string& text : producer_.answer.prod_listeners)
          producer_targets.push_back(*parse_endpoint(text));
        std::vector<Endpoint> consumer_targets;
        for (const std::string& text : producer_.answer.listeners)
          consumer_targets.push_back(*parse_endpoint(text));
        send_update(producer_, std::move(producer_targets));
        send_update(consumer_, std::move(consumer_targets));
        break;
      }
      case ClientAction::report_ready: report_ready(); break;
      case ClientAction::send_releases:
        send_release(producer_);
        send_release(consumer_);
        break;
      case ClientAction::report_ended: report_ended(); break;
    }
  }
}

void SessionRun::fail(Error error) {
  if (machine_.ready() || machine_.ended() || machine_.state() == session::ClientState::releasing)
    return;
  error_ = std::move(error);
  apply(ClientInput::fail);
}

void SessionRun::send_request(Side& side) {
  session::Request wanted;
  wanted.key = {request_.uid, side.role};
  wanted.num_conn = request_.num_conn;
  wanted.rate_mbps = request_.rate_mbps;
  wanted.rate_is_explicit = request_.rate_is_explicit;
  wanted.protocol = "tcp";
  wanted.producer = to_string(producer_.client->access().endpoint);
  wanted.consumer = to_string(consumer_.client->access().endpoint);
  wanted.labels = request_.labels;
  wanted.lifetime = request_.lifetime;
  wanted.claim = claim_;
  wanted.app_key = side.role == Role::producer ? request_.prod_app_key : request_.cons_app_key;
  side.request_open = true;
  side.call = side.client->request(
      wanted, request_.timeout,
      [self = shared_from_this(), &side](Result<session::RequestAnswer> answer) {
        side.request_open = false;
        side.hello_timer.cancel();
        if (!answer) {
          return self->fail(at(*side.client, answer.error()));
        }
        side.answer = std::move(*answer);
        self->apply(side.role == Role::producer ? ClientInput::producer_answered
                                                : ClientInput::consumer_answered);
      });
  if (!request_.prod_app.empty()) say_hello(side);
}

void SessionRun::say_hello(Side& side) {
  session::Hello hello;
  hello.uid = request_.uid;
  hello.role = side.role;
  hello.role_is_binding = true;
  if (side.role == Role::producer) hello.prod_listeners = to_strings(request_.prod_app);
  const Secret& key = side.role == Role::producer ? request_.prod_app_key : request_.cons_app_key;
  side.client->hello(hello, key, control::ControlClient::quick,
                     [self = shared_from_this(), &side](Result<session::HelloAnswer> answer) {
                       if (answer || !side.request_open) return;
                       // A deployed server reports a hello that overtook its req as UNKNOWN; ours
                       // as not found.
                       const Cause cause = answer.error().cause;
                       if (cause == Cause::unauthenticated) {
                         // Not our session: the answer to the request says so in a moment.
                         side.hello_timer = self->scheduler_.after(
                             verdict_limit, [self, error = at(*side.client, answer.error())] {
                               self->fail(error);
                             });
                         return;
                       }
                       if (cause != Cause::not_found && cause != Cause::failure)
                         return self->fail(at(*side.client, answer.error()));
                       side.hello_timer = self->scheduler_.after(
                           side.hello_backoff, [self, &side] { self->say_hello(side); });
                       side.hello_backoff = std::min(side.hello_backoff * 2, longest_hello_backoff);
                     });
}

void SessionRun::make_map() {
  for (const auto* list : {&producer_.answer.prod_listeners, &producer_.answer.listeners}) {
    if (list->empty()) {
      return fail(
          at(*producer_.client, {Cause::failure, "the producer's facility named no addresses"}));
    }
    for (const std::string& text : *list) {
      if (const auto endpoint = parse_endpoint(text); !endpoint)
        return fail(at(*producer_.client, endpoint.error()));
    }
  }
  // Listener i of either side feeds target i mod m: an even spread when the numbers differ.
  apply(ClientInput::mapped);
}

void SessionRun::send_update(Side& side, std::vector<Endpoint> targets) {
  session::UpdateTargets update;
  update.uid = request_.uid;
  update.role = side.role;
  update.role_is_binding = true;
  update.targets = std::move(targets);
  side.call = side.client->update(
      update, [self = shared_from_this(), &side](Result<session::UpdateAnswer> answer) {
        if (!answer) return self->fail(at(*side.client, answer.error()));
        if (side.role == Role::producer) self->result_.targets = answer->targets;
        self->apply(side.role == Role::producer ? ClientInput::producer_updated
                                                : ClientInput::consumer_updated);
      });
}

void SessionRun::send_release(Side& side) {
  const auto released = [self = shared_from_this(), &side] {
    self->apply(side.role == Role::producer ? ClientInput::producer_released
                                            : ClientInput::consumer_released);
  };
  side.hello_timer.cancel();
  if (side.call) side.call->cancel();
  side.client->release(request_.uid, claim_, [released](const Status&) { released(); });
}

void SessionRun::report_ready() {
  timeout_.cancel();
  result_.listeners = consumer_.answer.listeners;
  result_.prod_listeners = producer_.answer.listeners;
  result_.setup =
      std::chrono::duration_cast<std::chrono::microseconds>(scheduler_.now() - started_);
  if (const auto done = std::exchange(done_, nullptr)) done(result_);
}

void SessionRun::report_ended() {
  timeout_.cancel();
  if (const auto done = std::exchange(done_, nullptr)) done(error_);
}

}  // namespace scistream::client

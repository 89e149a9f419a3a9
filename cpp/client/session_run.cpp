#include "client/session_run.hpp"

#include <algorithm>
#include <utility>

namespace scistream::client {

namespace {

using session::ClientAction;
using session::ClientInput;

/// With what a request leaves to us.
SessionRequest complete(SessionRequest request) {
  if (request.uid.empty()) request.uid = random_uid();
  if (request.transport == "auto") request.transport = "tls";
  return request;
}

}  // namespace

SessionRun::SessionRun(Scheduler& scheduler, control::ControlClient& producer,
                       control::ControlClient& consumer, SessionRequest request)
    : scheduler_(scheduler),
      request_(complete(std::move(request))),
      data_key_(request_.transport == "tls" ? Secret::random(key_size) : Secret()),
      producer_(scheduler, producer, wanted(Role::producer, producer, consumer)),
      consumer_(scheduler, consumer, wanted(Role::consumer, producer, consumer)) {}

void SessionRun::start(Observe observe, Done done) {
  scheduler_.post(
      [self = shared_from_this(), observe = std::move(observe), done = std::move(done)]() mutable {
        if (self->cancelled_) return done(Error{Cause::cancelled, "interrupted"});
        self->producer_.own(self);
        self->consumer_.own(self);
        self->observe_ = std::move(observe);
        self->done_ = std::move(done);
        self->started_ = self->scheduler_.now();
        self->result_.uid = self->request_.uid;
        self->result_.transport = self->request_.transport;
        self->timeout_ = self->scheduler_.after(self->request_.timeout, [self] {
          const auto limit = self->request_.timeout.count();
          self->fail({Cause::timeout, "the session was not set up within " +
                                          (limit % 1000 == 0 ? std::to_string(limit / 1000) + " s"
                                                             : std::to_string(limit) + " ms") +
                                          ": " + self->waits_for()});
        });
        self->apply(ClientInput::start);
      });
}

std::string SessionRun::waits_for() const {
  std::string missing;
  for (const FacilitySide* side : {&producer_, &consumer_}) {
    if (side->answer().listeners.empty())
      missing += (missing.empty() ? "" : " and ") + side->where();
  }
  if (missing.empty()) return "the facilities do not take each other's addresses";
  if (!request_.prod_app.empty()) return "no answer came from " + missing;
  return "no application has said hello at " + missing + ", or it does not answer";
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
        for (const std::string& text : producer_.answer().prod_listeners)
          producer_targets.push_back(*parse_endpoint(text));
        std::vector<Endpoint> consumer_targets;
        for (const std::string& text : producer_.answer().listeners)
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

session::Request SessionRun::wanted(Role role, const control::ControlClient& producer,
                                    const control::ControlClient& consumer) const {
  session::Request wanted;
  wanted.key = {request_.uid, role};
  wanted.num_conn = request_.num_conn;
  wanted.rate = request_.rate;
  wanted.protocol = request_.protocol;
  wanted.producer = to_string(producer.access().endpoint);
  wanted.consumer = to_string(consumer.access().endpoint);
  wanted.labels = request_.labels;
  wanted.transport = request_.transport;
  wanted.proxy_protocol = request_.proxy_protocol && role == Role::producer;
  wanted.lifetime = request_.lifetime;
  wanted.claim = claim_;
  wanted.app_key = role == Role::producer ? request_.prod_app_key : request_.cons_app_key;
  return wanted;
}

void SessionRun::send_request(FacilitySide& side) {
  const bool producer = side.role() == Role::producer;
  const auto fail = [this](Error error) { this->fail(std::move(error)); };
  side.request(
      request_.timeout,
      [this, producer] {
        apply(producer ? ClientInput::producer_answered : ClientInput::consumer_answered);
      },
      fail);
  if (request_.prod_app.empty()) return;
  side.say_hello(
      producer ? to_strings(request_.prod_app) : std::vector<std::string>{}, [] {}, fail);
}

void SessionRun::make_map() {
  for (const auto* list : {&producer_.answer().prod_listeners, &producer_.answer().listeners}) {
    if (list->empty()) {
      return fail(producer_.named({Cause::failure, "the producer's facility named no addresses"}));
    }
    for (const std::string& text : *list) {
      if (const auto endpoint = parse_endpoint(text); !endpoint)
        return fail(producer_.named(endpoint.error()));
    }
  }
  // Listener i of either side feeds target i mod m: an even spread when the numbers differ.
  apply(ClientInput::mapped);
}

void SessionRun::send_update(FacilitySide& side, std::vector<Endpoint> targets) {
  const bool producer = side.role() == Role::producer;
  side.update(
      std::move(targets), data_key_,
      [this, producer](const session::UpdateAnswer& answer) {
        if (producer) result_.targets = answer.targets;
        apply(producer ? ClientInput::producer_updated : ClientInput::consumer_updated);
      },
      [this](Error error) { fail(std::move(error)); });
}

void SessionRun::send_release(FacilitySide& side) {
  const bool producer = side.role() == Role::producer;
  side.release([this, producer] {
    apply(producer ? ClientInput::producer_released : ClientInput::consumer_released);
  });
}

void SessionRun::report_ready() {
  timeout_.cancel();
  result_.listeners = consumer_.answer().listeners;
  result_.prod_listeners = producer_.answer().listeners;
  result_.setup =
      std::chrono::duration_cast<std::chrono::microseconds>(scheduler_.now() - started_);
  if (const auto done = std::exchange(done_, nullptr)) done(result_);
}

void SessionRun::report_ended() {
  timeout_.cancel();
  if (const auto done = std::exchange(done_, nullptr)) done(error_);
}

}  // namespace scistream::client

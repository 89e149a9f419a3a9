#include "client/half_session.hpp"

#include <utility>

namespace scistream::client {

namespace {

session::Request wanted(const HalfRequest& request) {
  session::Request wanted;
  wanted.key = {request.uid, request.role};
  wanted.num_conn = request.num_conn;
  wanted.rate = request.rate;
  wanted.protocol = request.protocol;
  wanted.transport = request.transport;
  wanted.proxy_protocol = request.proxy_protocol;
  wanted.claim = Secret::random(16).hex();
  return wanted;
}

}  // namespace

HalfSession::HalfSession(Scheduler& scheduler, control::ControlClient& client, HalfRequest request)
    : scheduler_(scheduler),
      request_(std::move(request)),
      side_(scheduler, client, wanted(request_)) {}

void HalfSession::start(Observe observe, Done done) {
  scheduler_.post(
      [self = shared_from_this(), observe = std::move(observe), done = std::move(done)]() mutable {
        if (self->cancelled_) return done(Error{Cause::cancelled, "interrupted"});
        self->side_.own(self);
        self->observe_ = std::move(observe);
        self->done_ = std::move(done);
        self->greeted_ = !self->request_.hello;
        self->timeout_ = self->scheduler_.after(self->request_.timeout, [self] {
          self->fail(HalfStep::request, {Cause::timeout, "the session was not set up in time"});
        });
        const auto at = [weak = std::weak_ptr(self)](HalfStep step) {
          return [weak, step](Error error) {
            if (const auto run = weak.lock()) run->fail(step, std::move(error));
          };
        };
        HalfSession& run = *self;
        run.side_.request(run.request_.timeout, [&run] { run.answered(); }, at(HalfStep::request));
        if (!run.request_.hello) return;
        run.side_.say_hello(
            *run.request_.hello,
            [&run] {
              if (run.ended_ || std::exchange(run.greeted_, true)) return;
              if (run.observe_) run.observe_(HalfStep::hello);
              run.go_on();
            },
            at(HalfStep::hello));
      });
}

void HalfSession::cancel() {
  scheduler_.post([self = shared_from_this()] {
    self->cancelled_ = true;
    self->fail(HalfStep::request, {Cause::cancelled, "interrupted"});
  });
}

void HalfSession::answered() {
  if (ended_) return;
  answered_ = true;
  if (observe_) observe_(HalfStep::request);
  go_on();
}

void HalfSession::go_on() {
  if (!answered_ || !greeted_) return;
  std::vector<Endpoint> targets = request_.targets;
  if (request_.role == Role::producer) {
    targets.clear();
    for (const std::string& text : side_.answer().prod_listeners) {
      auto endpoint = parse_endpoint(text);
      if (!endpoint) return fail(HalfStep::update, side_.named(endpoint.error()));
      targets.push_back(std::move(*endpoint));
    }
  }
  side_.update(
      std::move(targets), request_.data_key, [this](const session::UpdateAnswer&) { finish(); },
      [this](Error error) { fail(HalfStep::update, std::move(error)); });
}

void HalfSession::finish() {
  if (std::exchange(ended_, true)) return;
  timeout_.cancel();
  if (observe_) observe_(HalfStep::update);
  if (const auto done = std::exchange(done_, nullptr))
    done(HalfResult{side_.answer().listeners, side_.answer().prod_listeners});
}

void HalfSession::fail(HalfStep step, Error error) {
  if (!done_ || std::exchange(ended_, true)) return;
  failed_at_ = step;
  timeout_.cancel();
  side_.release([self = shared_from_this(), error = std::move(error)] {
    if (const auto done = std::exchange(self->done_, nullptr)) done(error);
  });
}

}  // namespace scistream::client

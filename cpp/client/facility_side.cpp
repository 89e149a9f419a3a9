#include "client/facility_side.hpp"

#include <algorithm>
#include <utility>

#include "client/named.hpp"

namespace scistream::client {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds longest_hello_backoff{500};
/// Whoever asks has a timer, which says what it waited for; that of the call comes after it.
constexpr milliseconds after_the_timer{1'000};
/// For the answer to the request, when that to its hello is a refusal.
constexpr milliseconds verdict_limit{1'000};

}  // namespace

FacilitySide::FacilitySide(Scheduler& scheduler, control::ControlClient& client,
                           session::Request wanted)
    : scheduler_(scheduler),
      client_(client),
      where_(to_string(client.access().endpoint)),
      wanted_(std::move(wanted)) {}

Error FacilitySide::named(Error error) const {
  return client::named(client_.access().endpoint, std::move(error));
}

void FacilitySide::request(milliseconds timeout, Done done, Fail fail) {
  request_open_ = true;
  call_ = client_.request(
      wanted_, timeout + after_the_timer,
      [this, keep = owner_.lock(), done = std::move(done),
       fail = std::move(fail)](Result<session::RequestAnswer> answer) {
        request_open_ = false;
        hello_timer_.cancel();
        if (!answer) return fail(named(answer.error()));
        // A server that does not know of transports has one, and says nothing.
        if (wanted_.transport != "tcp" && answer->transport != wanted_.transport) {
          return fail(named({Cause::failed_precondition,
                             "this facility cannot encrypt what goes between the "
                             "facilities; --transport tcp streams without encryption"}));
        }
        if (wanted_.protocol != "tcp" && answer->protocol != wanted_.protocol) {
          return fail(named({Cause::failed_precondition,
                             "this facility carries connections only, no datagrams"}));
        }
        if (wanted_.proxy_protocol && !answer->proxy_protocol) {
          return fail(named({Cause::failed_precondition,
                             "this facility cannot tell applications who connects; leave "
                             "--proxy-protocol out"}));
        }
        answer_ = std::move(*answer);
        done();
      });
}

void FacilitySide::say_hello(std::vector<std::string> listeners, Done taken, Fail fail) {
  auto message = std::make_shared<session::Hello>();
  message->uid = wanted_.key.uid;
  message->role = wanted_.key.role;
  message->role_is_binding = true;
  message->prod_listeners = std::move(listeners);
  hello(message, taken, fail);
}

void FacilitySide::hello(const std::shared_ptr<const session::Hello>& message, const Done& taken,
                         const Fail& fail) {
  client_.hello(
      *message, wanted_.app_key, control::ControlClient::quick,
      [this, keep = owner_.lock(), message, taken, fail](Result<session::HelloAnswer> answer) {
        if (answer) return taken();
        if (!request_open_) return;
        // A deployed server reports a hello that overtook its req as UNKNOWN; ours as not found.
        const Cause cause = answer.error().cause;
        const bool refused = cause == Cause::unauthenticated;
        // While the server does not even take the request, its session is not there to be greeted.
        if (!call_->is_under_way())
          refused_since_.reset();
        else if (refused && !refused_since_)
          refused_since_ = scheduler_.now();
        // Somebody else's session of the same id, which may make way for ours: the answer to the
        // request says so in a moment, or another hello is taken.
        const bool final_refusal =
            refused && refused_since_ && scheduler_.now() - *refused_since_ >= verdict_limit;
        const bool may_change = refused || cause == Cause::not_found || cause == Cause::failure;
        if (final_refusal || !may_change) return fail(named(answer.error()));
        hello_timer_ = scheduler_.after(
            hello_backoff_, [this, keep, message, taken, fail] { hello(message, taken, fail); });
        hello_backoff_ = std::min(hello_backoff_ * 2, longest_hello_backoff);
      });
}

void FacilitySide::update(std::vector<Endpoint> targets, const Secret& data_key,
                          std::function<void(const session::UpdateAnswer&)> done, Fail fail) {
  session::UpdateTargets update;
  update.uid = wanted_.key.uid;
  update.role = wanted_.key.role;
  update.role_is_binding = true;
  update.targets = std::move(targets);
  update.transport = wanted_.transport;
  update.data_key = data_key;
  call_ = client_.update(update, [this, keep = owner_.lock(), done = std::move(done),
                                  fail = std::move(fail)](Result<session::UpdateAnswer> answer) {
    if (!answer) return fail(named(answer.error()));
    done(*answer);
  });
}

void FacilitySide::release(Done done) {
  request_open_ = false;
  hello_timer_.cancel();
  if (call_) call_->cancel();
  client_.release(wanted_.key.uid, wanted_.claim,
                  [keep = owner_.lock(), done = std::move(done)](const Status&) { done(); });
}

}  // namespace scistream::client

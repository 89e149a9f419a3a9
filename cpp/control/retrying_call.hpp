#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "control/server_link.hpp"

namespace scistream::control {

/// Where a call whose answer was lost may be made again.
enum class Repeat { anywhere, at_ours };

/// One logical unary call: its attempts, one after another. Lives on the scheduler, except for
/// `cancel`, which may come from anywhere.
template <class Query, class Answer, class T>
class RetryingCall final : public Call,
                           public std::enable_shared_from_this<RetryingCall<Query, Answer, T>> {
 public:
  using milliseconds = std::chrono::milliseconds;
  using Method = void (Control::Stub::async::*)(grpc::ClientContext*, const Query*, Answer*,
                                                std::function<void(grpc::Status)>);

  /// `request` makes the message of each attempt.
  RetryingCall(std::shared_ptr<ServerLink> link, Method method, std::function<Query()> request,
               milliseconds deadline, Repeat repeat, session::Callback<T> done,
               std::function<Result<T>(const Answer&)> convert)
      : link_(std::move(link)),
        method_(method),
        request_(std::move(request)),
        deadline_(link_->scheduler.now() + deadline),
        repeat_(repeat),
        done_(std::move(done)),
        convert_(std::move(convert)) {}

  void start() {
    timer_ = {};  // it may outlive the scheduler in an object that gRPC lets go of last
    {
      const std::lock_guard lock(mutex_);
      if (cancelled_) return finish(Error{Cause::cancelled, "the call was cancelled"});
    }
    waits_for_token_ = true;
    timer_ = link_->scheduler.after(longest_token_wait, [self = this->shared_from_this()] {
      if (std::exchange(self->waits_for_token_, false))
        self->finish(Error{Cause::timeout, "the login's token did not come in time"});
    });
    link_->ask_token([self = this->shared_from_this(), began = link_->scheduler.now()] {
      self->timer_ = {};
      // The server has had nothing of this time: a provider had it, or a user with a password.
      self->deadline_ += self->link_->scheduler.now() - began;
      if (std::exchange(self->waits_for_token_, false)) self->attempt_it();
    });
  }

  [[nodiscard]] bool is_under_way() const override {
    const std::lock_guard lock(mutex_);
    return current_ != nullptr;
  }

  void cancel() override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (current_) return current_->context->cancel();
    link_->scheduler.post([self = this->shared_from_this()] {
      if (std::exchange(self->waits_for_token_, false))
        self->finish(Error{Cause::cancelled, "the call was cancelled"});
    });
  }

 private:
  struct Attempt {
    explicit Attempt(std::shared_ptr<OpenCalls> open) : context(std::in_place, std::move(open)) {}
    std::optional<OpenContext> context;  ///< Until the call has ended.
    Query request;
    Answer response;
    Clock::time_point started;
    Error error;         ///< Why it failed.
    bool heard = false;  ///< The server had said something before the call ended.
  };

  void attempt_it() {
    auto attempt = std::make_shared<Attempt>(link_->open);
    attempt->request = request_();
    attempt->started = link_->scheduler.now();
    {
      const std::lock_guard lock(mutex_);
      if (cancelled_ || !*attempt->context)
        return finish(Error{Cause::cancelled, "the call was cancelled"});
      current_ = attempt;
    }
    grpc::ClientContext& context = **attempt->context;
    const auto left = std::chrono::duration_cast<milliseconds>(deadline_ - link_->scheduler.now());
    context.set_deadline(std::chrono::system_clock::now() + std::max(left, milliseconds(1)));
    if (const Status shown = link_->authorize(context); !shown) {
      {
        const std::lock_guard lock(mutex_);
        current_.reset();
      }
      return finish(shown.error());
    }
    (link_->stub->async()->*method_)(
        &context, &attempt->request, &attempt->response,
        [self = this->shared_from_this(), attempt](const grpc::Status& status) {
          // Before the answer: what follows from it depends on who gave it.
          attempt->heard = self->link_->note(**attempt->context);
          if (!status.ok())
            attempt->error =
                self->link_->refusal(**attempt->context, attempt->context->error_of(status));
          self->link_->scheduler.post(
              [self, attempt, status] { self->on_answer(*attempt, status); });
          {
            const std::lock_guard lock(self->mutex_);
            self->current_.reset();
          }
          // What was posted lives on; the call's hold on the channel must not.
          attempt->context.reset();
        });
  }

  void on_answer(const Attempt& attempt, const grpc::Status& status) {
    {
      const std::lock_guard lock(mutex_);
      if (cancelled_ && !status.ok())
        return finish(Error{Cause::cancelled, "the call was cancelled"});
    }
    if (status.ok()) {
      link_->reached = true;
      link_->outage.over();
      return finish(convert_(attempt.response));
    }
    Error error = attempt.error;
    if (error.cause == Cause::timeout) {
      // What an attempt before it was told says more than that there was no time for another.
      if (refusal_) return finish(*refusal_);
      error.message =
          to_string(link_->access.endpoint) + " did not answer in time (" + error.message + ")";
    }
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
      error.message = to_string(link_->access.endpoint) +
                      " does not know this command; it may be a server of another version (" +
                      error.message + ")";
    }
    if (error.cause != Cause::unavailable) {
      link_->reached = true;
      link_->outage.over();
      return finish(std::move(error));
    }
    if (attempt.heard) refusal_ = error;
    if (attempt.heard && link_->scheduler.now() - attempt.started > peace) {
      // It had waited in peace: this is another outage than the last.
      link_->outage.over();
      failing_since_ = {};
      backoff_ = first_backoff;
    }
    link_->diagnose([self = this->shared_from_this(), error](const Status& verdict) {
      self->on_verdict(error, verdict);
    });
  }

  void on_verdict(const Error& error, const Status& verdict) {
    // A server that was there a moment ago may be on its way back, and does not change its kind.
    const bool transient = verdict || verdict.error().cause == Cause::unavailable ||
                           verdict.error().cause == Cause::invalid_argument;
    if (!verdict && !(link_->reached && transient)) return finish(verdict.error());
    const auto now = link_->scheduler.now();
    if (verdict && repeat_ == Repeat::at_ours && !link_->ours && !std::exchange(asked_, true)) {
      return link_->identify(
          [self = this->shared_from_this(), error] { self->on_verdict(error, {}); });
    }
    const bool may_repeat = repeat_ == Repeat::anywhere || link_->ours;
    const auto outage = link_->outage.failed(now);
    if (failing_since_ == Clock::time_point{}) failing_since_ = outage;
    if (!may_repeat || now - failing_since_ + backoff_ > retry_window ||
        now + backoff_ >= deadline_) {
      return finish(verdict || verdict.error().cause != Cause::unavailable ? error
                                                                           : verdict.error());
    }
    timer_ = link_->scheduler.after(backoff_, [self = this->shared_from_this()] { self->start(); });
    backoff_ = std::min(backoff_ * 2, longest_backoff);
  }

  void finish(Result<T> result) {
    link_->scheduler.post(
        [done = std::exchange(done_, nullptr), result = std::move(result)]() mutable {
          if (done) done(std::move(result));
        });
  }

  std::shared_ptr<ServerLink> link_;
  Method method_;
  std::function<Query()> request_;
  Clock::time_point deadline_;
  Repeat repeat_;
  bool waits_for_token_ = false;
  bool asked_ = false;            ///< Whether the server is one of ours.
  std::optional<Error> refusal_;  ///< Why the server, which was there, could not do it.
  session::Callback<T> done_;
  std::function<Result<T>(const Answer&)> convert_;

  mutable std::mutex mutex_;
  bool cancelled_ = false;
  std::shared_ptr<Attempt> current_;

  static constexpr milliseconds longest_token_wait{180'000};
  static constexpr milliseconds first_backoff{20};
  static constexpr milliseconds longest_backoff{500};
  static constexpr milliseconds retry_window{5'000};
  static constexpr milliseconds peace{1'000};
  Clock::time_point failing_since_{};
  milliseconds backoff_ = first_backoff;
  Scheduler::Timer timer_;
};

}  // namespace scistream::control

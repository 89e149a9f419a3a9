#include "control/open_calls.hpp"

#include <utility>

#include "control/headers.hpp"
#include "control/status_map.hpp"

namespace scistream::control {

bool OpenCalls::enter(grpc::ClientContext* context) {
  const std::lock_guard lock(mutex_);
  if (closed_) return false;
  if (context != nullptr) contexts_.insert(context);
  ++count_;
  return true;
}

void OpenCalls::leave() {
  const std::lock_guard lock(mutex_);
  --count_;
  idle_.notify_all();
}

void OpenCalls::close() {
  std::unique_lock lock(mutex_);
  closed_ = true;
  for (grpc::ClientContext* context : contexts_) context->TryCancel();
  idle_.wait(lock, [this] { return count_ == 0; });
}

bool OpenCalls::is_closed() {
  const std::lock_guard lock(mutex_);
  return closed_;
}

OpenContext::OpenContext(std::shared_ptr<OpenCalls> open)
    : open_(std::move(open)), context_(std::make_unique<grpc::ClientContext>()) {
  if (!open_->enter(context_.get())) context_.reset();
}

OpenContext::~OpenContext() {
  if (!context_) return;
  {
    // Nobody cancels it any more.
    const std::lock_guard lock(open_->mutex_);
    open_->contexts_.erase(context_.get());
  }
  context_.reset();
  open_->leave();
}

void OpenContext::cancel() {
  cancelled_ = true;
  if (context_) context_->TryCancel();
}

Error OpenContext::error_of(const grpc::Status& status) const {
  Error error = from_grpc(status);
  if (error.cause != Cause::cancelled || cancelled_ || open_->is_closed()) return error;
  // What a handler of ours answers ends with it, that the call was cancelled as well.
  if (context_->GetServerTrailingMetadata().contains(version_header)) return error;
  return {Cause::unavailable, "the server went away (" + error.message + ")"};
}

}  // namespace scistream::control

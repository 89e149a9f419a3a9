#include "control/open_calls.hpp"

#include <utility>

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

}  // namespace scistream::control

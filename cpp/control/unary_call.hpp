#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "auth/authorizer.hpp"
#include "base/version.hpp"
#include "control/grpc.hpp"
#include "control/status_map.hpp"

namespace scistream::control {

/// Initial metadata in which servers of this project say their version: a client may repeat to them
/// what it must not repeat to others.
inline constexpr const char* version_header = "scistream-version";

/// Who is at the other end of a call.
auth::Caller caller_of(const grpc::CallbackServerContext& context);

/// One unary rpc being served. Waits without a thread; deletes itself when gRPC is done with it.
/// `finish` may be called from any thread, exactly once.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  void finish(const grpc::Status& status) { Finish(status); }
  /// Tells the caller at once who serves it, before a long wait. Not after `finish`.
  void greet() { StartSendInitialMetadata(); }

  /// What to do when the client is gone or its deadline has passed. Outlives the call, which may
  /// have ended before anything could be registered.
  struct Cancel {
    std::mutex mutex;
    bool cancelled = false;
    std::function<void()> withdraw;

    /// Registers `call`, or makes it at once if the client is gone already.
    void set(std::function<void()> call) {
      {
        const std::lock_guard lock(mutex);
        if (!cancelled) {
          withdraw = std::move(call);
          return;
        }
      }
      call();
    }
  };
  [[nodiscard]] std::shared_ptr<Cancel> cancel() const { return cancel_; }

 private:
  void OnCancel() override {
    std::function<void()> call;
    {
      const std::lock_guard lock(cancel_->mutex);
      cancel_->cancelled = true;
      call = std::move(cancel_->withdraw);
    }
    if (call) call();
  }

  void OnDone() override { delete this; }

  std::shared_ptr<Cancel> cancel_ = std::make_shared<Cancel>();
};

/// The one wrapper around every handler: asks the authorizer, runs `work(call)`, and turns what is
/// refused or thrown into a status. `work` sees to it that `call->finish` is called once.
template <class Work>
grpc::ServerUnaryReactor* serve(const auth::Authorizer& authorizer,
                                grpc::CallbackServerContext& context, std::string_view rpc,
                                Work work) {
  auto* call = new UnaryCall;
  context.AddInitialMetadata(version_header, std::string(version()));
  if (const Status allowed = authorizer.allow(caller_of(context), rpc); !allowed) {
    call->finish(to_grpc(allowed));
    return call;
  }
  try {
    work(call);
  } catch (const std::exception& error) {
    call->finish({grpc::StatusCode::INTERNAL, error.what()});
  }
  return call;
}

}  // namespace scistream::control

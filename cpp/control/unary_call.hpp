#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "auth/audit.hpp"
#include "auth/authorizer.hpp"
#include "control/grpc.hpp"
#include "control/headers.hpp"
#include "control/status_map.hpp"
#include "scistream/version.hpp"

namespace scistream::control {

/// Who is at the other end of a call, and what they show of themselves.
auth::Caller caller_of(const grpc::CallbackServerContext& context);

std::string milliseconds_since_1970();

/// What stands in front of all handlers of a server.
struct Gate {
  auth::Authorizer& authorizer;
  auth::AuditLog& audit;
};

/// One rpc, as it is decided about.
struct Asked {
  std::string_view rpc;
  std::string session{};  ///< Id, for the audit log.
  bool has_other_proof = false;
  std::vector<std::string> targets{};  ///< Where its session is to lead, for the audit log.
};

/// One unary rpc being served. Waits without a thread; deletes itself when gRPC is done with it.
/// `finish` may be called from any thread, exactly once.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  explicit UnaryCall(grpc::CallbackServerContext& context) : context_(context) {}

  void finish(const grpc::Status& status) {
    if (ends_) ends_(status);
    context_.AddTrailingMetadata(version_header, std::string(version()));
    Finish(status);
  }
  /// Hears that the call waits, and how it ends.
  void on_course(std::function<void()> waits, std::function<void(const grpc::Status&)> ends) {
    waits_ = std::move(waits);
    ends_ = std::move(ends);
  }
  /// Tells the caller at once who serves it, before a long wait. Not after `finish`.
  void greet() { StartSendInitialMetadata(); }
  /// The same, of a call that is let in and may wait for somebody else.
  void greet_and_wait() {
    if (waits_) waits_();
    greet();
  }

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

  grpc::CallbackServerContext& context_;
  std::shared_ptr<Cancel> cancel_ = std::make_shared<Cancel>();
  std::function<void()> waits_;
  std::function<void(const grpc::Status&)> ends_;
};

/// Keeps in the audit log what comes of a call that was let in.
class Audited {
 public:
  Audited(const Gate& gate, Asked asked, std::string from, const auth::Permit& permit);

  void waits() const;
  void ends(const grpc::Status& status) const;

 private:
  [[nodiscard]] auth::AuditEntry entry() const;

  const Gate* gate_;
  Asked asked_;
  std::string from_;
  std::optional<auth::Identity> who_;
  bool is_stranger_;
};

/// Lets a call go on, with `then`, which keeps in the audit log what comes of it, or ends it with
/// `refuse`; one of them, once, on any thread.
void pass(const Gate& gate, grpc::CallbackServerContext& context, const Asked& asked,
          std::function<void(const auth::Permit&, const Audited&)> then,
          std::function<void(grpc::Status)> refuse);

/// The one wrapper around every handler: asks the authorizer, runs `work(call, permit)`, and turns
/// what is refused or thrown into a status. `work` sees to it that `call->finish` is called once.
/// What it refers to lives as long as the call.
template <class Work>
grpc::ServerUnaryReactor* serve(const Gate& gate, grpc::CallbackServerContext& context,
                                const Asked& asked, Work work) {
  auto* call = new UnaryCall(context);
  context.AddInitialMetadata(version_header, std::string(version()));
  context.AddInitialMetadata(time_header, milliseconds_since_1970());
  pass(
      gate, context, asked,
      [call, work = std::move(work)](const auth::Permit& permit, const Audited& audited) {
        call->on_course([audited] { audited.waits(); },
                        [audited](const grpc::Status& status) { audited.ends(status); });
        try {
          work(call, permit);
        } catch (const std::exception& error) {
          call->finish({grpc::StatusCode::INTERNAL, error.what()});
        }
      },
      [call](const grpc::Status& status) { call->finish(status); });
  return call;
}

}  // namespace scistream::control

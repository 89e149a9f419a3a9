#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "base/scheduler.hpp"
#include "session/types.hpp"

namespace scistream::control {

class ServerLink;

/// How to reach a control server.
struct ServerAccess {
  Endpoint endpoint;
  bool tls = true;
  std::string roots;  ///< PEM certificates to trust; empty: the system's.
  /// `roots` is the certificate that this very server had, or says why that is not known.
  bool pinned = false;
  /// Finds out, before each call, what shows who makes it: sent as `authorization`, bare; empty:
  /// nothing. An error is what the call fails with. Does not block; answers on any thread, perhaps
  /// at once. It does not leave this machine in clear: `invalid_argument`.
  using Token = std::function<void(std::function<void(Result<Secret>)>)>;
  Token token{};
  std::string certificate{};  ///< Shown to the server, PEM; empty: none.
  std::string key{};          ///< Its private key, PEM.
};

/// What a control server says about itself.
struct ServerInfo {
  std::string version;
  std::vector<std::string> data_server_kinds;
  std::string data_server_version;  ///< Of the program that forwards; empty: not said.
  std::vector<std::string> transports;
  session::Capacity capacity;
};

/// Whose tokens are good at a server, as it says itself.
struct LoginHint {
  std::string issuer;  ///< Empty: it does not say.
  std::string scope;
};

/// Which sessions a watch tells of.
enum class Present {
  only,      ///< Those that are there: it ends at once where there is none.
  or_later,  ///< And those that come to be.
};

/// A call that has been started. Thread-safe.
class Call {
 public:
  virtual ~Call() = default;
  /// Whether a server has it now; otherwise it waits to be tried again, or has ended.
  [[nodiscard]] virtual bool is_under_way() const { return true; }
  /// Its callback is called with `cancelled`, unless the answer is there already.
  virtual void cancel() = 0;
};

/// The client's end of `scistream.Control` at one server.
///
/// Functions may be called from any thread; callbacks run on the scheduler, exactly once, and every
/// call has a deadline. A call that fails because the server cannot be reached is looked into
/// (net/probe.hpp): what is refused, untrusted or of the other kind fails within a second with the
/// cause named; what broke under way is repeated for up to 5 s, since every message may be
/// repeated, `req` only at servers that have said they are ours. The scheduler must outlive this
/// object.
class ControlClient {
 public:
  ControlClient(Scheduler& scheduler, ServerAccess access);
  /// Cancels what is under way and waits for gRPC to let go of it, not for callbacks.
  ~ControlClient();
  ControlClient(const ControlClient&) = delete;
  ControlClient& operator=(const ControlClient&) = delete;

  template <class T>
  using Callback = session::Callback<T>;
  using Handle = std::shared_ptr<Call>;
  using milliseconds = std::chrono::milliseconds;

  static constexpr milliseconds quick{5'000};

  Handle request(const session::Request& request, milliseconds deadline,
                 Callback<session::RequestAnswer> done);
  /// Signed with `app_key`, if there is one, anew at each attempt: no server takes one hello twice.
  Handle hello(const session::Hello& hello, const Secret& app_key, milliseconds deadline,
               Callback<session::HelloAnswer> done);
  Handle update(const session::UpdateTargets& update, Callback<session::UpdateAnswer> done);
  /// `claim`: of the request whose sessions alone are to end; empty: whatever has the id.
  Handle release(const std::string& uid, const std::string& claim, Callback<void> done);
  /// Lets live connections run to their end; answered after the last one, within a day.
  Handle drain(const std::string& uid, Callback<void> done);
  /// `failed_precondition` at a server that does not know of other rates.
  Handle set_rate(const std::string& uid, const session::Rate& rate,
                  Callback<session::RateInForce> done);
  Handle info(Callback<ServerInfo> done);
  Handle status(const std::string& uid, session::Detail detail,
                Callback<std::vector<session::SessionView>> done);
  Handle list(const std::vector<std::string>& uids,
              Callback<std::vector<session::SessionView>> done);
  /// `observe` and, once at the end, `done` run on the scheduler. Not repeated after a failure.
  Handle watch(const std::vector<std::string>& uids, milliseconds period, Present present,
               std::function<void(const session::SessionEvent&)> observe, Callback<void> done);

  [[nodiscard]] const ServerAccess& access() const;
  /// How much later it is there than here, by the clocks of both, when the server last spoke; as
  /// exact as the answer was quick. Nothing before, or if it does not say.
  [[nodiscard]] std::optional<milliseconds> clock_ahead() const;
  /// As its last refusal said.
  [[nodiscard]] LoginHint login_hint() const;

 private:
  std::shared_ptr<ServerLink> link_;
};

}  // namespace scistream::control

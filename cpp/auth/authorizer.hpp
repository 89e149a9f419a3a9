#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/identity.hpp"
#include "auth/rights.hpp"
#include "base/error.hpp"
#include "base/secret.hpp"
#include "session/types.hpp"

namespace scistream::auth {

/// Who calls an rpc, as far as the transport knows, and what they show of themselves.
struct Caller {
  std::string host;    ///< Numeric address; empty for a Unix socket.
  bool local = false;  ///< On this machine: loopback or a Unix socket.
  Secret token{};      ///< Bearer token; empty: none.
  /// Of a client certificate that TLS has verified, `URI:…`, `email:…`, `DNS:…`; empty: none.
  std::vector<std::string> certificate_names{};
};

/// What is asked of the authorizer.
struct Question {
  std::string_view rpc;  ///< The method's name, such as `req`.
  /// What is called can do without knowing who it is: it asks for another proof.
  bool has_other_proof = false;
};

/// Somebody who may go on, or who is known and may not.
struct Permit {
  std::optional<Identity> who;  ///< Empty: nobody knows.
  Status allowed{};             ///< Else why not; then the rest says nothing.
  session::Principal principal{};
  Rights rights{};
};

/// How to become known to a server that refuses.
struct LoginHint {
  std::string issuer;  ///< Of tokens; empty: there is none.
  std::string scope;   ///< That a token needs; empty: none.
};

/// Decides whether a caller may do something. Asked once before every rpc, by the one wrapper
/// around all handlers. Callable from any thread; does not block.
class Authorizer {
 public:
  using Done = std::function<void(Result<Permit>)>;

  virtual ~Authorizer() = default;
  /// `done` comes once, on any thread, perhaps before this returns, with a permit for those who are
  /// known: `unauthenticated`, `permission_denied` (of a token for something else), or
  /// `unavailable` and `exhausted` where it cannot be found out.
  virtual void admit(const Caller& caller, const Question& question, Done done) = 0;
  [[nodiscard]] virtual LoginHint login_hint() const { return {}; }
};

/// Without identities: whoever is on this machine may do everything, nobody else anything.
class LocalOnly final : public Authorizer {
 public:
  void admit(const Caller& caller, const Question& question, Done done) override;
};

/// `--insecure-no-auth`: everybody may do everything.
class Anyone final : public Authorizer {
 public:
  void admit(const Caller& caller, const Question& question, Done done) override;
};

}  // namespace scistream::auth

#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace scistream::auth {

/// Who calls an rpc, as far as the transport knows.
struct Caller {
  std::string host;    ///< Numeric address; empty for a Unix socket.
  bool local = false;  ///< On this machine: loopback or a Unix socket.
};

/// Decides whether a caller may do something. Asked once before every rpc, by the one wrapper
/// around all handlers. Callable from any thread; must not block.
class Authorizer {
 public:
  virtual ~Authorizer() = default;
  /// `rpc` is the method's name, such as `req`. `unauthenticated` or `permission_denied`.
  [[nodiscard]] virtual Status allow(const Caller& caller, std::string_view rpc) const = 0;
};

/// Without identities: whoever is on this machine may do everything, nobody else anything.
class LocalOnly final : public Authorizer {
 public:
  [[nodiscard]] Status allow(const Caller& caller, std::string_view rpc) const override;
};

/// `--insecure-no-auth`: everybody may do everything.
class Anyone final : public Authorizer {
 public:
  [[nodiscard]] Status allow(const Caller& caller, std::string_view rpc) const override;
};

}  // namespace scistream::auth

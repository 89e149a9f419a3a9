#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/secret.hpp"
#include "client/oauth.hpp"
#include "net/fd.hpp"

namespace scistream::client {

/// What the query of a redirect says: the code, or why there is none. Nothing if it is not of this
/// login: its state is not ours.
std::optional<Result<Secret>> code_in(std::string_view query, const Authorization& authorization,
                                      const std::string& issuer);

/// Where a browser brings the code of a login to: a port of this machine, until it has come
/// (RFC 8252, section 7.3). Whoever else connects is told off and keeps nobody from it. To be used
/// on one thread.
class RedirectReceiver {
 public:
  /// Listens on 127.0.0.1, at a port that is free.
  static Result<RedirectReceiver> open();

  /// The address for Authorization::redirect.
  [[nodiscard]] std::string address() const;

  /// Blocks until the code is there; `timeout` if it does not come within `limit`.
  Result<Secret> receive(const Authorization& authorization, const std::string& issuer,
                         std::chrono::milliseconds limit);

 private:
  RedirectReceiver(net::Fd listener, std::uint16_t port)
      : listener_(std::move(listener)), port_(port) {}

  net::Fd listener_;
  std::uint16_t port_;
};

}  // namespace scistream::client

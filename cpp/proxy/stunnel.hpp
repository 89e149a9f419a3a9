#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/tls_suite.hpp"
#include "proxy/data_servers.hpp"
#include "proxy/program.hpp"

namespace scistream::proxy {

/// How stunnel protects what crosses the WAN.
struct StunnelMode {
  /// TLS 1.3 with the session's key; these suites, in order of preference.
  std::vector<net::Ciphersuite> ciphersuites;
  /// Instead, as SciStream 1.x does: TLS 1.2 with the session's id for a key and no encryption,
  /// which keeps out who does not know the id, and hides nothing.
  bool compat = false;
};

/// Stunnel: has its targets and keys changed by a reload that leaves live connections alone, and is
/// counted by its log and the kernel. `program` is where it is.
std::shared_ptr<Steering> steer_stunnel(const Site& site, std::string program, StunnelMode mode);

/// How it protects the sessions of a plan. A shared key belongs to SHA-256 there:
/// `invalid_argument` if no suite is left.
Result<StunnelMode> stunnel_mode(const DataServerPlan& plan);
/// Says so of the program.
void protect(Program& program, const StunnelMode& mode);

}  // namespace scistream::proxy

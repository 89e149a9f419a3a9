#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "net/certificate.hpp"

namespace scistream::net {

/// Finds out why a gRPC server cannot be talked to, which gRPC itself reports only as
/// "unavailable". Connects, and does what the client would: a TLS handshake that trusts `roots`
/// (PEM, one or several certificates), checks the host name and shows `own`, if that is not empty;
/// or with `tls` false an HTTP/2 preface. Blocks at most `limit`; any thread.
///
/// Success: the server can be talked to. `unavailable`: refused, unreachable, or not a gRPC server.
/// `unauthenticated`: its certificate is not trusted or is for other names, or it does not take
/// ours. `invalid_argument`: one side speaks TLS and the other does not; names the flag to change.
/// `timeout`: nothing answered within `limit`.
Status probe_server(const Endpoint& server, bool tls, const std::string& roots,
                    const CertificateAndKey& own = {},
                    std::chrono::milliseconds limit = std::chrono::milliseconds(900));

/// The numeric addresses of a host, as it is resolved now. `unavailable` if it has none.
Result<std::vector<std::string>> addresses_of(const Endpoint& server);

/// Whether a connection can be opened, as far as TCP. Errors as of probe_server().
Status can_connect(const Endpoint& server,
                   std::chrono::milliseconds limit = std::chrono::milliseconds(900));

/// The certificate that a TLS server shows, PEM, whether it is to be trusted or not: for a user to
/// decide. Errors as of probe_server().
Result<std::string> certificate_of(
    const Endpoint& server, std::chrono::milliseconds limit = std::chrono::milliseconds(900));

}  // namespace scistream::net

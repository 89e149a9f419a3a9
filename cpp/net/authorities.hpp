#pragma once

struct ssl_ctx_st;

namespace scistream::net {

/// Trusts the authorities of the system: those of SSL_CERT_FILE and SSL_CERT_DIR, of the places
/// that OpenSSL was built for, or else of where other Linux systems have theirs, so that one
/// executable runs on all. False if there are none.
bool trust_system(ssl_ctx_st* context);

}  // namespace scistream::net

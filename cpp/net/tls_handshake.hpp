#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/tls_keys.hpp"
#include "net/tls_record.hpp"
#include "net/tls_suite.hpp"

struct ssl_st;
struct ssl_ctx_st;

namespace scistream::net {

/// Which end of a TLS connection.
enum class TlsRole { client, server };

/// What all handshakes of one end share. Immutable once made; any thread.
class TlsContext {
 public:
  /// TLS 1.3 with pre-shared keys and ephemeral Diffie-Hellman, no certificates, no tickets, no
  /// early data. Throws std::runtime_error if OpenSSL lacks one of the suites.
  TlsContext(TlsRole role, const std::vector<Ciphersuite>& suites);

  [[nodiscard]] TlsRole role() const noexcept { return role_; }

 private:
  friend class TlsHandshake;
  struct Free {
    void operator()(ssl_ctx_st* context) const noexcept;
  };
  TlsRole role_;
  std::unique_ptr<ssl_ctx_st, Free> context_;
};

/// One handshake on a connected, non-blocking socket, by OpenSSL; what follows it is ours (see
/// RecordWriter and RecordReader), so that records need not be copied. Afterwards the socket stands
/// exactly behind the peer's last handshake message. Not thread-safe; `context` must outlive it.
/// OpenSSL writes as to a file: SIGPIPE must be ignored or blocked, as on the I/O threads.
class TlsHandshake {
 public:
  /// What a connection carries, as its client says (ALPN, RFC 7301).
  enum class Content { stream, datagrams };
  /// The client's end, with the key that it offers. A server that does not know of datagrams fails.
  static TlsHandshake client(const TlsContext& context, int socket, PreSharedKey key,
                             Content content = Content::stream);
  /// The server's end; `find` is asked for the key of the identity that the client names.
  using Find = std::function<std::optional<PreSharedKey>(std::string_view identity)>;
  static TlsHandshake server(const TlsContext& context, int socket, Find find);

  TlsHandshake(TlsHandshake&&) noexcept;
  TlsHandshake& operator=(TlsHandshake&&) noexcept;
  ~TlsHandshake();

  enum class Wants {
    read,    ///< Call `step` again when the socket is readable,
    write,   ///< or writable.
    done,    ///< `take_keys` has them.
    failed,  ///< `error` says why.
  };
  Wants step();

  [[nodiscard]] const std::string& error() const noexcept;
  /// Of the key that was used.
  [[nodiscard]] const std::string& identity() const noexcept;
  [[nodiscard]] Content content() const noexcept;
  /// It failed because the peer has no such key, or this end has not.
  [[nodiscard]] bool key_is_unknown() const noexcept;

  struct Keys {
    RecordKey sending;
    RecordKey receiving;
  };
  /// Once, when done.
  Keys take_keys();

 private:
  friend class TlsContext;
  struct State;
  explicit TlsHandshake(std::unique_ptr<State> state);
  static std::unique_ptr<State> start(const TlsContext& context, int socket);
  Wants fail(int result);

  std::unique_ptr<State> state_;
};

}  // namespace scistream::net

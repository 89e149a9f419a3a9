#include "net/tls_handshake.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace scistream::net {

namespace {

void require(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string("OpenSSL: ") + what);
}

/// The text of the last error of this thread, the queue emptied.
std::string last_error() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  std::string text = reason == nullptr ? "TLS failed" : reason;
  ERR_clear_error();
  return text;
}

using SessionPtr = std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)>;

/// A pre-shared key in the form OpenSSL takes it; empty if it has no such suite.
SessionPtr session_of(SSL* ssl, const PreSharedKey& key) {
  SessionPtr session(nullptr, SSL_SESSION_free);
  const SSL_CIPHER* cipher = nullptr;
  const STACK_OF(SSL_CIPHER)* ciphers = SSL_get_ciphers(ssl);
  for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
    const SSL_CIPHER* each = sk_SSL_CIPHER_value(ciphers, i);
    if (SSL_CIPHER_get_name(each) == tls_name(key.suite)) cipher = each;
  }
  if (cipher == nullptr) return session;
  session.reset(SSL_SESSION_new());
  const auto bytes = key.key.bytes();
  if (!session || SSL_SESSION_set1_master_key(session.get(), bytes.data(), bytes.size()) != 1 ||
      SSL_SESSION_set_cipher(session.get(), cipher) != 1 ||
      SSL_SESSION_set_protocol_version(session.get(), TLS1_3_VERSION) != 1) {
    session.reset();
  }
  return session;
}

Secret secret_from(std::string_view hex) {
  auto secret = Secret::from_hex(hex, hex.size() / 2);
  return secret ? std::move(*secret) : Secret();
}

/// What ALPN calls a connection that carries datagrams, its length before it.
constexpr std::array<unsigned char, 20> datagram_protocol{19,  's', 'c', 'i', 's', 't', 'r',
                                                          'e', 'a', 'm', '-', 'd', 'a', 't',
                                                          'a', 'g', 'r', 'a', 'm', 's'};
constexpr std::string_view datagram_name = "scistream-datagrams";
static_assert(datagram_name.size() + 1 == datagram_protocol.size());

int select_protocol(SSL*, const unsigned char** chosen, unsigned char* size,
                    const unsigned char* offered, unsigned int offered_size, void*) {
  unsigned char* found = nullptr;
  const int agreed = SSL_select_next_proto(&found, size, datagram_protocol.data(),
                                           datagram_protocol.size(), offered, offered_size);
  *chosen = found;
  return agreed == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

}  // namespace

struct TlsHandshake::State {
  struct Free {
    void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
  };
  TlsRole role = TlsRole::client;
  std::unique_ptr<SSL, Free> ssl;
  std::optional<PreSharedKey> key;  ///< Offered, or found.
  std::string identity;             ///< As the client named it.
  Find find;
  Secret client_secret;
  Secret server_secret;
  std::string error;
  bool key_is_unknown = false;
  Content content = Content::stream;

  static int index() {
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
  }
  static State& of(const SSL* ssl) { return *static_cast<State*>(SSL_get_ex_data(ssl, index())); }

  static int use_key(SSL* ssl, const EVP_MD* digest, const unsigned char** id, std::size_t* size,
                     SSL_SESSION** session) {
    State& state = of(ssl);
    *session = nullptr;
    *id = nullptr;
    *size = 0;
    // A server that wants another hash gets no key, and so fails.
    if (digest != nullptr && !EVP_MD_is_a(digest, digest_name(state.key->suite))) return 1;
    auto made = session_of(ssl, *state.key);
    if (!made) return 0;
    *session = made.release();
    *id = reinterpret_cast<const unsigned char*>(state.key->identity.data());
    *size = state.key->identity.size();
    return 1;
  }

  static int find_key(SSL* ssl, const unsigned char* id, std::size_t size, SSL_SESSION** session) {
    State& state = of(ssl);
    *session = nullptr;
    constexpr std::size_t longest_identity = 128;
    state.identity.assign(reinterpret_cast<const char*>(id), std::min(size, longest_identity));
    state.key = state.find(state.identity);
    if (!state.key) {
      state.key_is_unknown = true;
      return 1;  // no session: without a certificate it ends as it should
    }
    state.key_is_unknown = false;  // of several that it names, one is known
    auto made = session_of(ssl, *state.key);
    if (!made) return 0;
    *session = made.release();
    return 1;
  }

  /// The only way OpenSSL gives the traffic secrets out: a line "LABEL <client random> <secret>".
  static void take_secret(const SSL* ssl, const char* line) {
    State& state = of(ssl);
    const std::string_view text(line);
    const auto secret = text.substr(text.rfind(' ') + 1);
    if (text.starts_with("CLIENT_TRAFFIC_SECRET_0 ")) state.client_secret = secret_from(secret);
    if (text.starts_with("SERVER_TRAFFIC_SECRET_0 ")) state.server_secret = secret_from(secret);
  }
};

void TlsContext::Free::operator()(ssl_ctx_st* context) const noexcept { SSL_CTX_free(context); }

TlsContext::TlsContext(TlsRole role, const std::vector<Ciphersuite>& suites)
    : role_(role),
      context_(SSL_CTX_new(role == TlsRole::client ? TLS_client_method() : TLS_server_method())) {
  SSL_CTX* context = context_.get();
  require(context != nullptr, "no context for data connections");
  std::string names;
  for (const Ciphersuite suite : suites)
    names += (names.empty() ? "" : ":") + std::string(tls_name(suite));
  require(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1,
          "no TLS 1.3");
  require(SSL_CTX_set_ciphersuites(context, names.c_str()) == 1, "no such cipher suites");
  // Nothing to resume: each connection proves the key anew.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_max_early_data(context, 0);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_clear_options(context, SSL_OP_ENABLE_MIDDLEBOX_COMPAT | SSL_OP_ALLOW_NO_DHE_KEX);
  SSL_CTX_set_read_ahead(context, 0);  // what follows the handshake stays in the socket
  // A certificate, which nobody asks for, convinces nobody.
  SSL_CTX_set_verify(context, role == TlsRole::client ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_keylog_callback(context, TlsHandshake::State::take_secret);
  if (role == TlsRole::client) {
    SSL_CTX_set_psk_use_session_callback(context, TlsHandshake::State::use_key);
  } else {
    SSL_CTX_set_psk_find_session_callback(context, TlsHandshake::State::find_key);
    SSL_CTX_set_alpn_select_cb(context, select_protocol, nullptr);
  }
}

TlsHandshake::TlsHandshake(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsHandshake::TlsHandshake(TlsHandshake&&) noexcept = default;
TlsHandshake& TlsHandshake::operator=(TlsHandshake&&) noexcept = default;
TlsHandshake::~TlsHandshake() = default;

std::unique_ptr<TlsHandshake::State> TlsHandshake::start(const TlsContext& context, int socket) {
  auto state = std::make_unique<State>();
  state->role = context.role();
  state->ssl.reset(SSL_new(context.context_.get()));
  require(state->ssl && SSL_set_ex_data(state->ssl.get(), State::index(), state.get()) == 1 &&
              SSL_set_fd(state->ssl.get(), socket) == 1,
          "no memory");
  return state;
}

TlsHandshake TlsHandshake::client(const TlsContext& context, int socket, PreSharedKey key,
                                  Content content) {
  auto state = start(context, socket);
  state->content = content;
  if (content == Content::datagrams) {
    require(SSL_set_alpn_protos(state->ssl.get(), datagram_protocol.data(),
                                datagram_protocol.size()) == 0,
            "no ALPN");
  }
  state->identity = key.identity;
  state->key = std::move(key);
  SSL_set_connect_state(state->ssl.get());
  return TlsHandshake(std::move(state));
}

TlsHandshake TlsHandshake::server(const TlsContext& context, int socket, Find find) {
  auto state = start(context, socket);
  state->find = std::move(find);
  SSL_set_accept_state(state->ssl.get());
  return TlsHandshake(std::move(state));
}

TlsHandshake::Wants TlsHandshake::step() {
  SSL* ssl = state_->ssl.get();
  ERR_clear_error();
  errno = 0;
  const int result = SSL_do_handshake(ssl);
  if (result != 1) {
    switch (SSL_get_error(ssl, result)) {
      case SSL_ERROR_WANT_READ: return Wants::read;
      case SSL_ERROR_WANT_WRITE: return Wants::write;
      default: return fail(result);
    }
  }
  if (SSL_session_reused(ssl) != 1) {
    state_->error = "the peer did not prove the key";
    return Wants::failed;
  }
  if (state_->client_secret.empty() || state_->server_secret.empty()) {
    state_->error = "OpenSSL gave no traffic secrets";
    return Wants::failed;
  }
  const unsigned char* protocol = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl, &protocol, &size);
  const auto agreed = size > 0 ? Content::datagrams : Content::stream;
  if (state_->role == TlsRole::client && agreed != state_->content) {
    state_->error = "the peer does not carry datagrams";
    return Wants::failed;
  }
  state_->content = agreed;
  return Wants::done;
}

TlsHandshake::Wants TlsHandshake::fail(int result) {
  const int failed = errno;
  State& state = *state_;
  if (state.key_is_unknown) {
    ERR_clear_error();
    state.error = "the peer has the key of another session or generation";
    return Wants::failed;
  }
  const unsigned long code = ERR_peek_last_error();
  if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    ERR_clear_error();
    state.error = "the peer closed the connection";
    return Wants::failed;
  }
  if (code == 0) {
    state.error = result == 0 || failed == 0 ? "the peer closed the connection"
                                             : std::string(std::strerror(failed));
    return Wants::failed;
  }
  const int reason = ERR_GET_REASON(code);
  // What a server that has no such key, and no certificate either, says.
  if (state.role == TlsRole::client && reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE) {
    state.key_is_unknown = true;
    state.error =
        "the peer does not know the key of this session, or allows none of its ciphersuites";
    ERR_clear_error();
    return Wants::failed;
  }
  state.error = last_error();
  return Wants::failed;
}

const std::string& TlsHandshake::error() const noexcept { return state_->error; }
const std::string& TlsHandshake::identity() const noexcept { return state_->identity; }
TlsHandshake::Content TlsHandshake::content() const noexcept { return state_->content; }
bool TlsHandshake::key_is_unknown() const noexcept { return state_->key_is_unknown; }

TlsHandshake::Keys TlsHandshake::take_keys() {
  const auto suite = ciphersuite(SSL_CIPHER_get_name(SSL_get_current_cipher(state_->ssl.get())));
  require(suite.ok(), "a cipher suite that nobody asked for");
  const bool client = state_->role == TlsRole::client;
  Secret& ours = client ? state_->client_secret : state_->server_secret;
  Secret& theirs = client ? state_->server_secret : state_->client_secret;
  return {RecordKey(*suite, std::move(ours), true), RecordKey(*suite, std::move(theirs), false)};
}

}  // namespace scistream::net

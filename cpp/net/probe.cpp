#include "net/probe.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string_view>
#include <vector>

#include "net/authorities.hpp"
#include "net/fd.hpp"
#include "net/openssl_free.hpp"

namespace scistream::net {

namespace {

using Deadline = std::chrono::steady_clock::time_point;

/// Waits for `events`; false when the deadline has passed.
bool wait_for(int socket, short events, Deadline deadline) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd entry{socket, events, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

Error silent(const Endpoint& server) {
  return {Cause::timeout, to_string(server) + " does not answer; is a firewall in between?"};
}

Error mute(const Endpoint& server) {
  return {Cause::timeout, to_string(server) +
                              " takes connections, and does not answer them; does another program "
                              "listen there, or is the server overloaded?"};
}

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<Addresses> resolve(const Endpoint& server) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error =
          ::getaddrinfo(server.host.c_str(), std::to_string(server.port).c_str(), &hints, &found);
      error != 0) {
    return Error{Cause::unavailable,
                 "the host '" + server.host + "' is not known: " + ::gai_strerror(error)};
  }
  return Addresses(found, &::freeaddrinfo);
}

Result<Fd> connect_to(const Endpoint& server, Deadline deadline) {
  const auto addresses = resolve(server);
  if (!addresses) return addresses.error();
  Error last{Cause::unavailable, "the host '" + server.host + "' has no address"};
  for (const addrinfo* address = addresses->get(); address != nullptr; address = address->ai_next) {
    Fd socket(::socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) return errno_error("cannot make a socket", errno);
    int error = ::connect(socket.get(), address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      if (!wait_for(socket.get(), POLLOUT, deadline)) return silent(server);
      socklen_t size = sizeof error;
      ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (error == 0) return socket;
    last = errno_error("cannot connect to " + to_string(server), error);
    if (error == ECONNREFUSED) last.message += "; is the server running?";
  }
  return last;
}

/// What an HTTP/2 client says first: the preface and an empty SETTINGS frame (RFC 9113 §3.4).
constexpr std::string_view preface{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33};

Status probe_plain(const Endpoint& server, int socket, Deadline deadline) {
  (void)::send(socket, preface.data(), preface.size(), MSG_NOSIGNAL);
  unsigned char answer[9] = {};
  if (!wait_for(socket, POLLIN, deadline)) return mute(server);
  const ssize_t got = ::recv(socket, answer, sizeof answer, 0);
  if (got >= 4 && answer[3] == 4) return {};  // a SETTINGS frame
  const bool tls_alert = got >= 1 && answer[0] == 0x15;
  if (got <= 0 || tls_alert) {
    return Error{
        Cause::invalid_argument,
        to_string(server) + " does not speak plaintext" +
            (tls_alert ? ", it speaks TLS" : ", it closed the connection; it may speak TLS") +
            ": leave --ssl=False out"};
  }
  return Error{Cause::unavailable, to_string(server) + " is not a SciStream control server"};
}

using Text = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, OpensslFree<X509_free>>;

Text reading(const std::string& pem) {
  return Text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

std::vector<Certificate> certificates_in(const std::string& pem) {
  std::vector<Certificate> all;
  const Text text = reading(pem);
  while (X509* each = PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr))
    all.emplace_back(each);
  return all;
}

using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

Context trusting(const std::string& roots) {
  Context context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  X509_STORE* store = SSL_CTX_get_cert_store(context.get());
  // A leaf given as trust anchor is trusted as such, as gRPC does.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  if (roots.empty()) {
    (void)trust_system(context.get());
    return context;
  }
  for (const Certificate& each : certificates_in(roots)) X509_STORE_add_cert(store, each.get());
  return context;
}

Error certificate_error(const Endpoint& server, long verdict) {
  const std::string name = to_string(server);
  if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH) {
    return {Cause::unauthenticated,
            "the certificate of " + name + " is not for '" + server.host +
                "'; use a name it carries, or have the server's certificate "
                "made again with this one"};
  }
  return {Cause::unauthenticated,
          "the certificate of " + name + " is not trusted (" +
              X509_verify_cert_error_string(verdict) +
              "); give the server's own with --server_cert FILE, or say s2uc trust " + name};
}

/// Certificates that follow the first belong to the chain that leads to it.
Status show_own(SSL_CTX* context, const CertificateAndKey& own) {
  const Error bad{Cause::invalid_argument, "the client certificate and its key cannot be used"};
  const auto chain = certificates_in(own.certificate);
  if (chain.empty() || SSL_CTX_use_certificate(context, chain.front().get()) != 1) return bad;
  for (std::size_t i = 1; i < chain.size(); ++i)
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) return bad;
  const std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>> key(
      PEM_read_bio_PrivateKey(reading(own.key).get(), nullptr, nullptr, nullptr));
  return key && SSL_CTX_use_PrivateKey(context, key.get()) == 1 ? Status() : Status(bad);
}

using Session = std::unique_ptr<SSL, decltype(&SSL_free)>;

Session session_with(const Context& context, const Endpoint& server, int socket) {
  Session session(SSL_new(context.get()), &SSL_free);
  SSL_set_fd(session.get(), socket);
  in6_addr address{};
  const bool numeric = inet_pton(AF_INET, server.host.c_str(), &address) == 1 ||
                       inet_pton(AF_INET6, server.host.c_str(), &address) == 1;
  if (numeric) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session.get()), server.host.c_str());
  } else {
    SSL_set1_host(session.get(), server.host.c_str());
    SSL_set_tlsext_host_name(session.get(), server.host.c_str());
  }
  static constexpr unsigned char h2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(session.get(), h2, sizeof h2);
  return session;
}

Status shake_hands(const Endpoint& server, SSL* session, int socket, Deadline deadline) {
  for (;;) {
    ERR_clear_error();
    const int result = SSL_connect(session);
    if (result == 1) return {};
    const int error = SSL_get_error(session, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
      if (!wait_for(socket, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline))
        return mute(server);
      continue;
    }
    if (const long verdict = SSL_get_verify_result(session); verdict != X509_V_OK) {
      return certificate_error(server, verdict);
    }
    const int why = ERR_GET_REASON(ERR_peek_error());
    if (error == SSL_ERROR_SYSCALL || error == SSL_ERROR_ZERO_RETURN ||
        why == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
      return Error{Cause::unavailable,
                   to_string(server) +
                       " closed the connection instead of answering; it is going "
                       "away, or is not a SciStream control server"};
    }
    if (why == SSL_R_WRONG_VERSION_NUMBER) {
      return Error{Cause::invalid_argument,
                   to_string(server) +
                       " does not speak TLS; if it is meant to be plaintext, say --ssl=False"};
    }
    const char* reason = ERR_reason_error_string(ERR_peek_error());
    return Error{Cause::unauthenticated,
                 "the TLS handshake with " + to_string(server) +
                     " failed: " + (reason != nullptr ? reason : "no reason given")};
  }
}

/// In TLS 1.3 a client is done before the server has looked at its certificate: what the server
/// says next tells.
Status hear_verdict(const Endpoint& server, SSL* session, int socket, Deadline deadline) {
  SSL_write(session, preface.data(), static_cast<int>(preface.size()));
  for (;;) {
    ERR_clear_error();
    std::array<char, 9> answer{};
    const int got = SSL_read(session, answer.data(), static_cast<int>(answer.size()));
    if (got > 0) return {};
    const int error = SSL_get_error(session, got);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
      if (!wait_for(socket, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline))
        return mute(server);
      continue;
    }
    const char* reason =
        error == SSL_ERROR_SSL ? ERR_reason_error_string(ERR_peek_error()) : nullptr;
    return Error{Cause::unauthenticated,
                 to_string(server) +
                     " ended the connection when it was shown the certificate of "
                     "--client-cert" +
                     (reason != nullptr ? " (" + std::string(reason) + ")" : "") +
                     ": it may have expired, not be for clients, or not be of the authority that "
                     "the facility accepts (s2cs --client-ca)"};
  }
}

}  // namespace

Status probe_server(const Endpoint& server, bool tls, const std::string& roots,
                    const CertificateAndKey& own, std::chrono::milliseconds limit) {
  const Deadline deadline = std::chrono::steady_clock::now() + limit;
  const auto socket = connect_to(server, deadline);
  if (!socket) return socket.error();
  if (!tls) return probe_plain(server, socket->get(), deadline);
  const Context context = trusting(roots);
  if (!own.certificate.empty()) {
    if (Status shown = show_own(context.get(), own); !shown) return shown;
  }
  const Session session = session_with(context, server, socket->get());
  const Status shaken = shake_hands(server, session.get(), socket->get(), deadline);
  if (!shaken || own.certificate.empty()) return shaken;
  const Status heard = hear_verdict(server, session.get(), socket->get(), deadline);
  if (heard) return heard;
  // One that is going away ends connections as well, and takes no other.
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  const Status without = probe_server(server, tls, roots, {}, left);
  return without ? heard : without;
}

Result<std::vector<std::string>> addresses_of(const Endpoint& server) {
  const auto addresses = resolve(server);
  if (!addresses) return addresses.error();
  std::vector<std::string> found;
  for (const addrinfo* each = addresses->get(); each != nullptr; each = each->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (::getnameinfo(each->ai_addr, each->ai_addrlen, text.data(), text.size(), nullptr, 0,
                      NI_NUMERICHOST) == 0)
      found.emplace_back(text.data());
  }
  return found;
}

Status can_connect(const Endpoint& server, std::chrono::milliseconds limit) {
  const auto socket = connect_to(server, std::chrono::steady_clock::now() + limit);
  return socket ? Status() : Status(socket.error());
}

Result<std::string> certificate_of(const Endpoint& server, std::chrono::milliseconds limit) {
  const Deadline deadline = std::chrono::steady_clock::now() + limit;
  const auto socket = connect_to(server, deadline);
  if (!socket) return socket.error();
  const Context context = trusting("");
  // To be looked at, not to be believed: nothing is sent.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  const Session session = session_with(context, server, socket->get());
  if (Status shaken = shake_hands(server, session.get(), socket->get(), deadline); !shaken)
    return shaken.error();
  const std::unique_ptr<X509, decltype(&X509_free)> shown(SSL_get1_peer_certificate(session.get()),
                                                          &X509_free);
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> text(BIO_new(BIO_s_mem()), &BIO_free_all);
  if (!shown || PEM_write_bio_X509(text.get(), shown.get()) != 1)
    return Error{Cause::unauthenticated, to_string(server) + " shows no certificate"};
  char* data = nullptr;
  const long size = BIO_get_mem_data(text.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

}  // namespace scistream::net

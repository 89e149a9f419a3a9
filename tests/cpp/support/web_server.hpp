#pragma once

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "net/certificate.hpp"
#include "net/sockets.hpp"
#include "net/url.hpp"

namespace scistream::test {

/// `HTTP/1.1 200 OK` and a body.
inline std::string http_answer(const std::string& body, const std::string& more_headers = "",
                               const std::string& status = "200 OK") {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         more_headers + "Connection: close\r\n\r\n" + body;
}

/// A web server on 127.0.0.1 that answers as a test says, one connection after the other, on a
/// thread of its own.
class WebServer {
 public:
  /// From a whole request to all bytes of the answer; nothing: it never answers.
  using Answer = std::function<std::optional<std::string>(const std::string& request)>;

  explicit WebServer(Answer answer, std::optional<net::CertificateAndKey> identity = {})
      : answer_(std::move(answer)), listener_(must(net::bind_tcp(address_of({"127.0.0.1", 0})))) {
    must(net::listen_tcp(listener_.get(), 64));
    port_ = must(net::bound_address(listener_.get())).port();
    if (identity) trust_ = context_of(*identity);
    thread_ = std::thread([this] { serve(); });
  }
  ~WebServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  WebServer(const WebServer&) = delete;
  WebServer& operator=(const WebServer&) = delete;

  [[nodiscard]] net::Url url(const std::string& target = "/",
                             const std::string& host = "127.0.0.1") const {
    return {trust_ != nullptr, {host, port_}, target};
  }
  [[nodiscard]] std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

  static Context context_of(const net::CertificateAndKey& identity) {
    Context context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
    const auto load = [](const std::string& pem, auto read, auto use) {
      BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
      auto* found = read(bio, nullptr, nullptr, nullptr);
      BIO_free(bio);
      use(found);
    };
    load(identity.certificate, PEM_read_bio_X509, [&](X509* found) {
      SSL_CTX_use_certificate(context.get(), found);
      X509_free(found);
    });
    load(identity.key, PEM_read_bio_PrivateKey, [&](EVP_PKEY* found) {
      SSL_CTX_use_PrivateKey(context.get(), found);
      EVP_PKEY_free(found);
    });
    return context;
  }

  void serve() {
    for (;;) {
      (void)poll_for(listener_.get(), POLLIN);
      net::Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client && errno == EAGAIN) continue;
      if (!client) return;
      const std::unique_ptr<SSL, decltype(&SSL_free)> tls(trust_ ? SSL_new(trust_.get()) : nullptr,
                                                          SSL_free);
      if (tls) {
        SSL_set_fd(tls.get(), client.get());
        if (SSL_accept(tls.get()) != 1) continue;
      }
      const std::string request = read_request(client.get(), tls.get());
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      const auto answer = answer_(request);
      if (!answer) {
        silent_.push_back(std::move(client));
        continue;
      }
      if (tls) {
        SSL_write(tls.get(), answer->data(), static_cast<int>(answer->size()));
        SSL_shutdown(tls.get());
      } else {
        (void)!::send(client.get(), answer->data(), answer->size(), MSG_NOSIGNAL);
      }
    }
  }

  static std::string read_request(int socket, SSL* tls) {
    std::string request;
    char chunk[4096];
    for (;;) {
      const auto end = request.find("\r\n\r\n");
      if (end != std::string::npos && request.size() >= end + 4 + length_in(request))
        return request;
      const long got = tls != nullptr ? SSL_read(tls, chunk, sizeof chunk)
                                      : ::recv(socket, chunk, sizeof chunk, 0);
      if (got <= 0) return request;
      request.append(chunk, static_cast<std::size_t>(got));
    }
  }

  static std::size_t length_in(const std::string& request) {
    const auto found = request.find("Content-Length: ");
    return found == std::string::npos ? 0 : std::stoul(request.substr(found + 16));
  }

  const Answer answer_;
  net::Fd listener_;
  std::uint16_t port_ = 0;
  Context trust_{nullptr, SSL_CTX_free};
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::vector<net::Fd> silent_;
  std::thread thread_;
};

}  // namespace scistream::test

#include "net/http_client.hpp"

#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <filesystem>
#include <optional>

#include "net/authorities.hpp"
#include "net/http_answer.hpp"
#include "scistream/version.hpp"

namespace scistream::net {

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr unsigned version_1_1 = 11;

bool is_address(const std::string& host) {
  error_code none;
  asio::ip::make_address(host, none);
  return !none;
}

/// One request and its answer, over one connection of its own. Lives until it has told them.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(asio::io_context& context, std::shared_ptr<asio::ssl::context> trust,
           const HttpOptions& options, HttpRequest request, HttpClient::Done done)
      : trust_(std::move(trust)),
        url_(std::move(request.url)),
        done_(std::move(done)),
        resolver_(context),
        time_(context),
        stream_(context, *trust_) {
    const auto verb = http::string_to_verb(request.method);
    request_.method(verb);
    request_.target(url_.target);
    request_.version(version_1_1);
    request_.set(http::field::host, server_of(url_).substr(url_.encrypted ? 8 : 7));
    request_.set(http::field::user_agent, "scistream/" + std::string(version()));
    request_.set(http::field::connection, "close");
    request_.set(http::field::accept_encoding, "identity");
    for (auto& [name, value] : request.headers) {
      request_.set(name, value);
      wipe_bytes(value.data(), value.size());
    }
    request_.body() = std::move(request.body);
    request_.prepare_payload();
    limit(parser_, options.most_body);
  }

  ~Exchange() {
    // Tokens and passwords of clients travel in both.
    wipe_bytes(request_.body().data(), request_.body().size());
    for (const auto& field : request_)
      wipe_bytes(const_cast<char*>(field.value().data()), field.value().size());
  }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  void start(std::chrono::milliseconds limit) {
    time_.expires_after(limit);
    time_.async_wait([self = shared_from_this()](const error_code& ec) {
      if (!ec) self->fail(Cause::timeout, "does not answer in time");
    });
    resolver_.async_resolve(url_.server.host, std::to_string(url_.server.port),
                            [self = shared_from_this()](const error_code& ec,
                                                        const tcp::resolver::results_type& found) {
                              // A look-up under way cannot be called off.
                              if (!self->done_) return;
                              if (ec)
                                return self->fail(Cause::unavailable,
                                                  "has no address: " + ec.message());
                              self->connect(found);
                            });
  }

 private:
  void connect(const tcp::resolver::results_type& where) {
    asio::async_connect(stream_.next_layer(), where,
                        [self = shared_from_this()](const error_code& ec, const tcp::endpoint&) {
                          if (!self->done_) return;
                          if (ec)
                            return self->fail(Cause::unavailable,
                                              "cannot be reached: " + ec.message());
                          self->url_.encrypted ? self->shake_hands() : self->write();
                        });
  }

  void shake_hands() {
    const std::string& host = url_.server.host;
    stream_.set_verify_mode(asio::ssl::verify_peer);
    SSL* const tls = stream_.native_handle();
    if (is_address(host)) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), host.c_str());
    } else {
      SSL_set1_host(tls, host.c_str());
      SSL_set_tlsext_host_name(tls, host.c_str());
    }
    stream_.async_handshake(asio::ssl::stream_base::client,
                            [self = shared_from_this()](const error_code& ec) {
                              if (!self->done_) return;
                              if (ec) return self->distrust(ec);
                              self->write();
                            });
  }

  void distrust(const error_code& ec) {
    const long why = SSL_get_verify_result(stream_.native_handle());
    if (why == X509_V_OK) return fail(Cause::unavailable, "makes no TLS: " + ec.message());
    fail(Cause::unauthenticated, std::string("has a certificate that is not trusted: ") +
                                     X509_verify_cert_error_string(why));
  }

  void write() {
    const auto wrote = [self = shared_from_this()](const error_code& ec, std::size_t) {
      if (!self->done_) return;
      if (ec) return self->fail(Cause::unavailable, "takes no request: " + ec.message());
      self->read();
    };
    if (url_.encrypted) return http::async_write(stream_, request_, wrote);
    http::async_write(stream_.next_layer(), request_, wrote);
  }

  void read() {
    const auto read = [self = shared_from_this()](const error_code& ec, std::size_t) {
      if (!self->done_) return;
      // Of a body whose length is known, what a server leaves out of its farewell is no loss.
      if (ec && !self->parser_.is_done())
        return self->fail(Cause::unavailable, "gives no whole answer: " + ec.message());
      self->answer();
    };
    if (url_.encrypted) return http::async_read(stream_, buffer_, parser_, read);
    http::async_read(stream_.next_layer(), buffer_, parser_, read);
  }

  void answer() {
    auto response = response_in(parser_);
    if (!response) return fail(response.error().cause, response.error().message);
    finish(std::move(response));
  }

  void fail(Cause cause, const std::string& why) {
    finish(Error{cause, "'" + server_of(url_) + "' " + why});
  }

  void finish(Result<HttpResponse> result) {
    if (const auto done = std::exchange(done_, nullptr)) {
      time_.cancel();
      resolver_.cancel();
      error_code ignored;
      stream_.next_layer().close(ignored);
      done(std::move(result));
    }
  }

  const std::shared_ptr<asio::ssl::context> trust_;
  const Url url_;
  HttpClient::Done done_;
  tcp::resolver resolver_;
  asio::steady_timer time_;
  asio::ssl::stream<tcp::socket> stream_;
  http::request<http::string_body> request_;
  boost::beast::flat_buffer buffer_;
  HttpParser parser_;
};

}  // namespace

HttpClient::HttpClient(asio::io_context& context, HttpOptions options,
                       std::shared_ptr<asio::ssl::context> trust)
    : context_(&context), options_(std::move(options)), trust_(std::move(trust)) {}

Result<HttpClient> HttpClient::make(asio::io_context& context, HttpOptions options) {
  auto trust = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(trust->native_handle(), TLS1_2_VERSION);
  error_code failed;
  if (options.ca_file.empty()) {
    // Without any, no provider is trusted, which is said when one is asked.
    (void)trust_system(trust->native_handle());
  } else {
    trust->load_verify_file(options.ca_file, failed);
  }
  if (failed) {
    std::error_code ignored;
    const bool is_there = std::filesystem::exists(options.ca_file, ignored);
    return Error{
        is_there ? Cause::invalid_argument : Cause::not_found,
        "no certificates of authorities in '" + options.ca_file + "': " + failed.message()};
  }
  return HttpClient(context, std::move(options), std::move(trust));
}

HttpClient HttpClient::within(std::chrono::milliseconds limit) const {
  HttpClient other = *this;
  other.options_.limit = limit;
  return other;
}

void HttpClient::send(HttpRequest request, Done done) const {
  if (!request.url.encrypted && !is_loopback(request.url.server.host)) {
    asio::post(*context_, [done = std::move(done), where = server_of(request.url)] {
      done(Error{Cause::invalid_argument,
                 "'" + where + "' is not encrypted: name an https address"});
    });
    return;
  }
  // Not before this call has returned, should a name be known at once.
  const auto exchange =
      std::make_shared<Exchange>(*context_, trust_, options_, std::move(request), std::move(done));
  asio::post(*context_, [exchange, limit = options_.limit] { exchange->start(limit); });
}

std::string basic_authorization(const std::string& name, const Secret& password) {
  std::string word = percent_encoded(password.view());
  const Wiped wiped_word(word);
  std::string both = percent_encoded(name) + ":" + word;
  const Wiped wiped(both);
  std::string encoded((both.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                                   reinterpret_cast<const unsigned char*>(both.data()),
                                   static_cast<int>(both.size()));
  encoded.resize(static_cast<std::size_t>(size));
  return "Basic " + encoded;
}

}  // namespace scistream::net

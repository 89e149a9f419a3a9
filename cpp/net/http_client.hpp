#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/secret.hpp"
#include "net/url.hpp"

namespace boost::asio::ssl {
class context;
}

namespace scistream::net {

struct HttpRequest {
  std::string method = "GET";
  Url url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  ///< Of the type that a header says.
};

/// For an `Authorization` header, of a client at an authorization server (RFC 6749, section 2.3.1).
std::string basic_authorization(const std::string& name, const Secret& password);

struct HttpResponse {
  unsigned status = 0;
  std::string body;
  /// For how long `Cache-Control: max-age` allows it to be kept; 0: not at all, or not said.
  std::chrono::seconds max_age{0};
};

struct HttpOptions {
  std::string ca_file;  ///< Whom to trust, PEM; empty: those whom the system trusts.
  /// For all of an exchange, from the look-up of the name to the last byte.
  std::chrono::milliseconds limit{2'000};
  std::size_t most_body = 1U << 20U;  ///< Bytes of an answer; more is an error.
};

/// Asks web servers, one connection an exchange. Certificates are checked, redirects are not
/// followed, nothing is decompressed; without encryption it talks to this machine only.
/// Used on the thread of its context; exchanges under way outlive it.
class HttpClient {
 public:
  using Done = std::function<void(Result<HttpResponse>)>;

  /// `not_found` or `invalid_argument` if the file of authorities is not there or is none.
  static Result<HttpClient> make(boost::asio::io_context& context, HttpOptions options);

  /// The same with another limit.
  [[nodiscard]] HttpClient within(std::chrono::milliseconds limit) const;
  [[nodiscard]] std::chrono::milliseconds limit() const { return options_.limit; }

  /// `done` comes once, never from within this call, with any answer of the server's; or with
  /// `unavailable`, `timeout`, `unauthenticated` (its certificate), `invalid_argument` (the
  /// address). Errors name the server and repeat nothing of the request.
  void send(HttpRequest request, Done done) const;

 private:
  HttpClient(boost::asio::io_context& context, HttpOptions options,
             std::shared_ptr<boost::asio::ssl::context> trust);

  boost::asio::io_context* context_;
  HttpOptions options_;
  std::shared_ptr<boost::asio::ssl::context> trust_;
};

}  // namespace scistream::net

#include "auth/introspection.hpp"

#include <openssl/evp.h>

#include <chrono>
#include <utility>

#include "auth/claims.hpp"
#include "auth/introspection_answer.hpp"

namespace scistream::auth {

namespace {

constexpr std::size_t longest_token = 16'384;

/// For an `Authorization` header (RFC 6749, section 2.3.1).
std::string basic(const std::string& name, const Secret& password) {
  const std::string both = net::percent_encoded(name) + ":" + net::percent_encoded(password.view());
  std::string encoded((both.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                                   reinterpret_cast<const unsigned char*>(both.data()),
                                   static_cast<int>(both.size()));
  encoded.resize(static_cast<std::size_t>(size));
  return "Basic " + encoded;
}

Error strange(const IntrospectionOptions& options, const std::string& why) {
  return {Cause::unavailable, "'" + server_of(options.endpoint) + "' " + why};
}

std::string wanted_scope(const IntrospectionOptions& options) {
  return options.scope.empty() ? "/scopes/" + options.client_id + "/scistream" : options.scope;
}

}  // namespace

Introspection::Introspection(net::HttpClient client, IntrospectionOptions options)
    : client_(std::move(client)), options_(std::move(options)) {}

void Introspection::identify(const std::string& token, Done done) {
  if (token.size() > longest_token) return done(bad_token("is longer than any that is accepted"));
  std::vector<std::pair<std::string, std::string>> fields{{"token", token},
                                                          {"token_type_hint", "access_token"}};
  if (options_.identity_set) fields.emplace_back("include", "identity_set");
  net::HttpRequest request;
  request.method = "POST";
  request.url = options_.endpoint;
  request.headers = {{"Authorization", basic(options_.client_id, options_.client_secret)},
                     {"Content-Type", "application/x-www-form-urlencoded"},
                     {"Accept", "application/json"}};
  request.body = net::form_encoded(fields);
  client_.send(std::move(request), [options = options_, done = std::move(done)](
                                       const Result<net::HttpResponse>& answer) {
    // Whatever keeps it from answering, it is not the caller's doing.
    if (!answer) return done(Error{Cause::unavailable, answer.error().message});
    constexpr unsigned ok = 200;
    constexpr unsigned unauthorized = 401;
    if (answer->status == unauthorized)
      return done(strange(options, "does not know this service: see --client_id, --client_secret"));
    if (answer->status != ok)
      return done(strange(options, "answers HTTP " + std::to_string(answer->status)));
    done(identity_in_introspection(answer->body, {server_of(options.endpoint), options.client_id},
                                   wanted_scope(options), std::chrono::system_clock::now()));
  });
}

}  // namespace scistream::auth

#include "auth/introspection.hpp"

#include <chrono>
#include <utility>

#include "auth/claims.hpp"
#include "auth/introspection_answer.hpp"

namespace scistream::auth {

namespace {

constexpr std::size_t longest_token = 16'384;

Error strange(const net::Url& endpoint, const std::string& why) {
  return {Cause::unavailable, "'" + server_of(endpoint) + "' " + why};
}

Expected expected_of(const IntrospectionOptions& options) {
  Expected expected;
  expected.issuer = options.issuer.empty() ? server_of(options.endpoint) : options.issuer;
  expected.audience = options.client_id;
  expected.names_are_verified = options.identity_set;
  expected.scope = options.scope.empty()
                       ? expected.issuer + "/scopes/" + options.client_id + "/scistream"
                       : options.scope;
  return expected;
}

}  // namespace

Introspection::Introspection(net::HttpClient client, IntrospectionOptions options)
    : client_(std::move(client)), options_(std::move(options)), expected_(expected_of(options_)) {}

void Introspection::identify(const Secret& token, Done done) {
  if (token.size() > longest_token) return done(bad_token("is longer than any that is accepted"));
  std::vector<net::FormField> fields{{"token", token.view()}, {"token_type_hint", "access_token"}};
  if (options_.identity_set) fields.emplace_back("include", "identity_set");
  net::HttpRequest request;
  request.method = "POST";
  request.url = options_.endpoint;
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded"},
                     {"Accept", "application/json"}};
  request.headers.emplace_back(
      "Authorization", net::basic_authorization(options_.client_id, options_.client_secret));
  request.body = net::form_encoded(fields);
  client_.send(
      std::move(request), [endpoint = options_.endpoint, expected = expected_,
                           done = std::move(done)](const Result<net::HttpResponse>& answer) {
        // Whatever keeps it from answering, it is not the caller's doing.
        if (!answer) return done(Error{Cause::unavailable, answer.error().message});
        constexpr unsigned ok = 200;
        constexpr unsigned bad_request = 400;
        constexpr unsigned unauthorized = 401;
        if (answer->status == unauthorized)
          return done(
              strange(endpoint, "does not know this service: see --client_id, --client_secret"));
        // It knows such tokens, and does not say anything of them.
        if (answer->status == bad_request)
          return done(bad_token("is none that its provider can be asked about"));
        if (answer->status != ok)
          return done(strange(endpoint, "answers HTTP " + std::to_string(answer->status)));
        done(identity_in_introspection(answer->body, expected, std::chrono::system_clock::now()));
      });
}

}  // namespace scistream::auth

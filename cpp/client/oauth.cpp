#include "client/oauth.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <thread>

#include "base/base64url.hpp"
#include "base/secret.hpp"
#include "base/wait_for.hpp"
#include "client/oauth_answers.hpp"

namespace scistream::client {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::system_clock;

constexpr unsigned ok = 200;
constexpr std::size_t most_answer = 256U << 10U;

std::string random_word() { return base64url(Secret::random(key_size).bytes()); }

std::string scopes_of(const Provider& provider, const std::string& scope) {
  return provider.extra_scopes.empty() ? scope : provider.extra_scopes + " " + scope;
}

/// Of a form's fields.
bool is_secret(const std::string& name) {
  static const std::vector<std::string> names{"code", "code_verifier", "refresh_token",
                                              "device_code", "token"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Authorization new_authorization(std::string client_id, std::string scope, std::string redirect) {
  Authorization made;
  made.client_id = std::move(client_id);
  made.scope = std::move(scope);
  made.redirect = std::move(redirect);
  made.state = random_word();
  made.nonce = random_word();
  made.verifier = Secret(std::string_view(random_word()));
  return made;
}

std::string address_of(const Provider& provider, const Authorization& authorization) {
  std::vector<net::FormField> fields{
      {"client_id", authorization.client_id},
      {"redirect_uri", authorization.redirect},
      {"scope", scopes_of(provider, authorization.scope)},
      {"state", authorization.state},
      {"nonce", authorization.nonce},
      {"response_type", "code"},
      {"code_challenge", base64url(sha256(authorization.verifier.view()))},
      {"code_challenge_method", "S256"},
      // Globus Auth and others give what refreshes only if it is said; who does not know it ignores
      // it (RFC 6749, section 3.1).
      {"access_type", "offline"}};
  // And the others only where the user is asked (OpenID Connect Core 1.0, section 11).
  if (provider.extra_scopes.find("offline_access") != std::string::npos)
    fields.emplace_back("prompt", "consent");
  const std::string address = to_string(provider.authorization);
  return address + (address.find('?') == std::string::npos ? "?" : "&") + net::form_encoded(fields);
}

OAuth::OAuth(OAuthOptions options) : options_(std::move(options)) {
  if (!options_.now) options_.now = [] { return system_clock::now(); };
  if (!options_.sleep)
    options_.sleep = [](milliseconds time) { std::this_thread::sleep_for(time); };
}

Result<net::HttpResponse> OAuth::send(net::HttpRequest request) {
  {
    const std::lock_guard lock(mutex_);
    if (!threads_) threads_ = std::make_unique<net::IoThreads>(1, "sci-login");
    if (!client_) {
      auto client =
          net::HttpClient::make(threads_->at(0), {options_.ca_file, options_.limit, most_answer});
      if (!client) return client.error();
      client_ = std::move(*client);
    }
  }
  return wait_for<net::HttpResponse>([&](auto done) {
    boost::asio::post(threads_->at(0),
                      [this, request = std::move(request), done = std::move(done)]() mutable {
                        client_->send(std::move(request), std::move(done));
                      });
  });
}

Result<net::HttpResponse> OAuth::post(const net::Url& where, const Fields& fields,
                                      const Service* service, std::string* error) {
  net::HttpRequest request;
  request.method = "POST";
  request.url = where;
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded"},
                     {"Accept", "application/json"}};
  if (service != nullptr)
    request.headers.emplace_back("Authorization",
                                 net::basic_authorization(service->client_id, service->secret));
  request.body = net::form_encoded(fields);
  auto answer = send(std::move(request));
  if (answer && answer->status != ok) {
    std::string body = std::move(answer->body);
    const Wiped wiped(body);
    if (error != nullptr) *error = error_named_in(body);
    std::vector<std::string_view> secrets;
    for (const auto& [name, value] : fields)
      if (is_secret(name)) secrets.push_back(value.view());
    if (service != nullptr) secrets.push_back(service->secret.view());
    answer = refusal(where, answer->status, body, secrets);
  }
  return answer;
}

Result<Provider> OAuth::discover(const std::string& issuer) {
  auto where = net::openid_configuration_of(issuer);
  if (!where) return where.error();
  if (*where == *net::openid_configuration_of(globus().issuer)) return globus();
  const auto answer = send({"GET", *where, {{"Accept", "application/json"}}, {}});
  if (!answer) return answer.error();
  if (answer->status != ok) {
    return Error{Cause::unavailable,
                 "'" + issuer + "' answers HTTP " + std::to_string(answer->status) +
                     " where its OpenID configuration belongs: is it the issuer?"};
  }
  return provider_in(answer->body, issuer);
}

Result<Granted> OAuth::grant(const Provider& provider, const Asked& asked, const Fields& fields,
                             const Service* service, std::string* error) {
  auto answer = post(provider.token, fields, service, error);
  if (!answer) return answer.error();
  const Wiped wiped(answer->body);
  return granted_in(answer->body, asked, now());
}

Tokens OAuth::with_user(const Provider& provider, Granted granted) {
  if (!provider.userinfo || granted.for_userinfo.empty()) return std::move(granted.tokens);
  net::HttpRequest request{"GET", *provider.userinfo, {{"Accept", "application/json"}}, {}};
  std::string bearer = "Bearer ";
  bearer += granted.for_userinfo.view();
  request.headers.emplace_back("Authorization", std::move(bearer));
  const auto answer = send(std::move(request));
  // Who it is, is for people to see: a login is good without it.
  if (answer && answer->status == ok) take_user(answer->body, granted.tokens);
  return std::move(granted.tokens);
}

Result<Tokens> OAuth::exchange(const Provider& provider, const Authorization& authorization,
                               const Secret& code) {
  auto granted =
      grant(provider,
            {provider.issuer, authorization.client_id, authorization.scope, authorization.nonce},
            {{"grant_type", "authorization_code"},
             {"code", code.view()},
             {"redirect_uri", authorization.redirect},
             {"code_verifier", authorization.verifier.view()},
             {"client_id", authorization.client_id}});
  if (!granted) return granted.error();
  return with_user(provider, std::move(*granted));
}

Result<Tokens> OAuth::refresh(const Provider& provider, const std::string& client_id,
                              const std::string& scope, const Tokens& old) {
  auto granted = grant(provider, {provider.issuer, client_id, scope, ""},
                       {{"grant_type", "refresh_token"},
                        {"refresh_token", old.refresh.view()},
                        {"client_id", client_id}});
  if (!granted) return granted.error();
  Tokens renewed = std::move(granted->tokens);
  if (!renewed.subject.empty() && !old.subject.empty() && renewed.subject != old.subject) {
    return Error{Cause::unauthenticated,
                 "'" + provider.issuer + "' answers with the token of somebody else"};
  }
  // Most providers give another one only where the old one is used up.
  if (renewed.refresh.empty()) renewed.refresh = old.refresh;
  renewed.subject = old.subject;
  renewed.name = old.name;
  return renewed;
}

Result<DeviceCode> OAuth::device_code(const Provider& provider, const std::string& client_id,
                                      const std::string& scope) {
  if (!provider.device_authorization) {
    return Error{Cause::failed_precondition,
                 "'" + provider.issuer + "' offers no login by another device: leave --device out"};
  }
  auto answer = post(*provider.device_authorization,
                     {{"client_id", client_id}, {"scope", scopes_of(provider, scope)}});
  if (!answer) return answer.error();
  const Wiped wiped(answer->body);
  return device_code_in(answer->body, *provider.device_authorization, now());
}

Result<Tokens> OAuth::wait_for_user(const Provider& provider, const std::string& client_id,
                                    const std::string& scope, const DeviceCode& device) {
  constexpr seconds slower{5};  // RFC 8628, section 3.5
  seconds interval = device.interval;
  for (;;) {
    options_.sleep(interval);
    if (now() >= device.expires) {
      return Error{Cause::timeout,
                   "nobody has agreed at " + device.address + " in time; log in again"};
    }
    std::string error;
    auto granted = grant(provider, {provider.issuer, client_id, scope, ""},
                         {{"grant_type", "urn:ietf:params:oauth:grant-type:device_code"},
                          {"device_code", device.code.view()},
                          {"client_id", client_id}},
                         nullptr, &error);
    if (granted) return with_user(provider, std::move(*granted));
    const Cause cause = granted.error().cause;
    if (error == "slow_down") {
      interval += slower;
    } else if (cause == Cause::unavailable || cause == Cause::timeout) {
      if (error == "expired_token") return granted.error();
      // It may be away for a while, and wants to be asked less often then.
      interval *= 2;
    } else if (error != "authorization_pending") {
      return granted.error();
    }
  }
}

Result<Tokens> OAuth::of_client(const Provider& provider, const std::string& client_id,
                                const Secret& client_secret, const std::string& scope) {
  const Service service{client_id, client_secret};
  auto granted = grant(provider, {provider.issuer, client_id, scope, ""},
                       {{"grant_type", "client_credentials"}, {"scope", scope}}, &service);
  if (!granted) return granted.error();
  granted->tokens.subject = client_id;
  return std::move(granted->tokens);
}

Status OAuth::revoke(const Provider& provider, const std::string& client_id, const Secret& token,
                     Kind kind) {
  if (!provider.revocation) {
    return Error{Cause::failed_precondition, "'" + provider.issuer +
                                                 "' takes no token back: it is good until it "
                                                 "expires"};
  }
  const auto answer =
      post(*provider.revocation,
           {{"token", token.view()},
            {"token_type_hint", kind == Kind::refresh ? "refresh_token" : "access_token"},
            {"client_id", client_id}});
  return answer ? Status() : Status(answer.error());
}

}  // namespace scistream::client

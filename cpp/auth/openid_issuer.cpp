#include "auth/openid_issuer.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "auth/jwt.hpp"

namespace scistream::auth {

namespace {

using nlohmann::json;

constexpr unsigned ok = 200;

net::HttpRequest get(net::Url url) {
  return {"GET", std::move(url), {{"Accept", "application/json"}}, {}};
}

std::string without_slash(std::string text) {
  while (text.ends_with('/')) text.pop_back();
  return text;
}

}  // namespace

Result<std::unique_ptr<OpenIdIssuer>> OpenIdIssuer::make(net::HttpClient client, Expected expected,
                                                         const Clock& clock, Now now) {
  auto documents =
      net::parse_url(without_slash(expected.issuer) + "/.well-known/openid-configuration");
  if (!documents) return documents.error();
  return std::unique_ptr<OpenIdIssuer>(new OpenIdIssuer(
      std::move(client), std::move(*documents), std::move(expected), clock, std::move(now)));
}

OpenIdIssuer::OpenIdIssuer(net::HttpClient client, net::Url documents, Expected expected,
                           const Clock& clock, Now now)
    : client_(std::move(client)),
      documents_(std::move(documents)),
      expected_(std::move(expected)),
      clock_(clock),
      now_(std::move(now)) {}

void OpenIdIssuer::identify(const std::string& token, Done done) {
  const bool may_fetch = clock_.now() >= next_fetch_;
  const bool are_good = keys_ && (clock_.now() < good_until_ || !may_fetch);
  if (are_good) {
    const auto who = check(token);
    if (who || who.error().cause != Cause::not_found) return done(who);
    if (!may_fetch && !fetches_) return done(bad_token("is signed with an unknown key"));
  }
  waiting_.emplace_back(Secret(token), std::move(done));
  if (fetches_) return;
  if (!may_fetch) return answer_waiting();
  fetch();
}

Result<Identity> OpenIdIssuer::check(const std::string& token) const {
  return identity_in(token, *keys_, expected_, now_());
}

void OpenIdIssuer::fetch() {
  fetches_ = true;
  next_fetch_ = clock_.now() + refresh_pause;
  client_.send(get(documents_),
               [this, alive = std::weak_ptr(alive_)](const Result<net::HttpResponse>& answer) {
                 if (alive.expired()) return;
                 if (!answer) return fail(answer.error());
                 if (answer->status != ok) {
                   return fail({Cause::unavailable, "'" + expected_.issuer + "' answers HTTP " +
                                                        std::to_string(answer->status)});
                 }
                 fetch_keys(answer->body);
               });
}

void OpenIdIssuer::fetch_keys(const std::string& configuration) {
  const json document = json::parse(configuration, nullptr, false);
  const auto strange = [this](const std::string& why) {
    fail({Cause::unavailable, "'" + expected_.issuer + "' " + why});
  };
  if (!document.is_object()) return strange("has no OpenID configuration");
  // Else one issuer could speak for another.
  if (text_in(document, "issuer") != expected_.issuer)
    return strange("calls itself something else in its OpenID configuration");
  auto keys = net::parse_url(text_in(document, "jwks_uri"));
  if (!keys) return strange("does not say where its keys are");
  client_.send(get(std::move(*keys)),
               [this, alive = std::weak_ptr(alive_)](const Result<net::HttpResponse>& answer) {
                 if (alive.expired()) return;
                 if (!answer) return fail(answer.error());
                 take_keys(*answer);
               });
}

void OpenIdIssuer::take_keys(const net::HttpResponse& answer) {
  auto keys = KeySet::parse(answer.status == ok ? answer.body : std::string());
  if (!keys) return fail(keys.error());
  keys_ = std::move(*keys);
  failure_.reset();
  good_until_ =
      clock_.now() + std::clamp<std::chrono::seconds>(answer.max_age, least_age, most_age);
  answer_waiting();
}

void OpenIdIssuer::fail(Error why) {
  // Whatever the reason: it is not the caller's doing.
  failure_ = Error{Cause::unavailable, std::move(why.message)};
  next_fetch_ = clock_.now() + failure_pause;
  // Better those of before than none, for a while.
  if (keys_ && clock_.now() >= good_until_ + most_age) keys_.reset();
  answer_waiting();
}

void OpenIdIssuer::answer_waiting() {
  fetches_ = false;
  // Whoever is told may ask again, or end this.
  const auto waiting = std::exchange(waiting_, {});
  std::vector<Result<Identity>> answers;
  for (const auto& [token, done] : waiting) {
    if (!keys_) {
      answers.emplace_back(failure_.value_or(Error{Cause::unavailable, "no keys"}));
      continue;
    }
    auto who = check(std::string(token.view()));
    if (!who && who.error().cause == Cause::not_found) {
      // Where newer keys could not be had, it may be good.
      who = failure_ ? *failure_ : bad_token("is signed with an unknown key");
    }
    answers.push_back(std::move(who));
  }
  for (std::size_t i = 0; i < waiting.size(); ++i) waiting[i].second(answers[i]);
}

}  // namespace scistream::auth

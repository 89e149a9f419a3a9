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

}  // namespace

Result<std::unique_ptr<OpenIdIssuer>> OpenIdIssuer::make(net::HttpClient client, Expected expected,
                                                         const Clock& clock, Now now) {
  auto documents = net::openid_configuration_of(expected.issuer);
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

OpenIdIssuer::~OpenIdIssuer() {
  for (const auto& [token, done] : std::exchange(waiting_, {}))
    done(Error{Cause::unavailable, "the server is going away"});
}

void OpenIdIssuer::identify(const Secret& token, Done done) {
  const bool may_fetch = clock_.now() >= next_fetch_ && !fetches_;
  const bool are_fresh = keys_ && clock_.now() < good_until_;
  if (are_fresh || (!may_fetch && !fetches_)) {
    auto who = check(token);
    const bool is_unknown = !who && who.error().cause == Cause::not_found;
    if (!is_unknown) return done(std::move(who));
    if (!may_fetch && !fetches_) return done(of_unknown_key());
  }
  if (waiting_.size() >= most_waiting)
    return done(Error{Cause::exhausted, "too many tokens are being checked; try again"});
  waiting_.emplace_back(token, std::move(done));
  if (may_fetch) fetch();
}

bool OpenIdIssuer::has_good_keys() const {
  const auto until = failure_ ? good_until_ + grace : good_until_;
  return keys_ && clock_.now() < until;
}

Result<Identity> OpenIdIssuer::check(const Secret& token) const {
  if (has_good_keys()) return identity_in(token.view(), *keys_, expected_, now_());
  return failure_.value_or(Error{Cause::unavailable, "'" + expected_.issuer + "' has no keys"});
}

Error OpenIdIssuer::of_unknown_key() const {
  // Where newer keys could not be had, it may be good.
  return failure_ ? *failure_ : bad_token("is signed with an unknown key");
}

void OpenIdIssuer::fetch() {
  fetches_ = true;
  began_ = std::chrono::steady_clock::now();
  next_fetch_ = clock_.now() + refresh_pause;
  client_.send(get(documents_),
               [this, alive = std::weak_ptr(alive_)](const Result<net::HttpResponse>& answer) {
                 if (alive.expired()) return;
                 if (!answer) return fail(answer.error());
                 if (answer->status != ok) return fail(answers_strangely(answer->status));
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
  if (documents_.encrypted && !keys->encrypted) return strange("has its keys in clear");
  // One limit for both.
  const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - began_);
  const auto left = std::max(client_.limit() - passed, std::chrono::milliseconds(1));
  client_.within(left).send(get(std::move(*keys)), [this, alive = std::weak_ptr(alive_)](
                                                       const Result<net::HttpResponse>& answer) {
    if (alive.expired()) return;
    if (!answer) return fail(answer.error());
    take_keys(*answer);
  });
}

void OpenIdIssuer::take_keys(const net::HttpResponse& answer) {
  if (answer.status != ok) return fail(answers_strangely(answer.status));
  auto keys = KeySet::parse(answer.body);
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
  answer_waiting();
}

void OpenIdIssuer::answer_waiting() {
  fetches_ = false;
  // Whoever is told may ask again, or end this.
  const auto waiting = std::exchange(waiting_, {});
  std::vector<Result<Identity>> answers;
  for (const auto& [token, done] : waiting) {
    auto who = check(token);
    if (!who && who.error().cause == Cause::not_found) who = of_unknown_key();
    answers.push_back(std::move(who));
  }
  for (std::size_t i = 0; i < waiting.size(); ++i) waiting[i].second(answers[i]);
}

Error OpenIdIssuer::answers_strangely(unsigned status) const {
  return {Cause::unavailable, "'" + expected_.issuer + "' answers HTTP " + std::to_string(status)};
}

}  // namespace scistream::auth

#include "auth/claims.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

namespace scistream::auth {

using nlohmann::json;
using std::chrono::system_clock;

namespace {

/// Whether they are about this time and place.
Status check(const json& claims, const Expected& expected, system_clock::time_point now) {
  if (claims.contains("iss") && text_in(claims, "iss") != expected.issuer)
    return bad_token("is not of the issuer '" + expected.issuer + "'");
  const auto audience = claims.find("aud");
  const bool is_here = audience != claims.end() &&
                       (*audience == expected.audience ||
                        (audience->is_array() && std::find(audience->begin(), audience->end(),
                                                           expected.audience) != audience->end()));
  if (!is_here)
    return bad_token("is not for this service, whose audience is '" + expected.audience + "'");
  const auto expires = time_in(claims, "exp");
  if (!expires) return bad_token("does not say when it expires");
  if (*expires + clock_leeway <= now) return bad_token("has expired: log in again");
  for (const char* since : {"nbf", "iat"}) {
    if (!claims.contains(since)) continue;
    const auto begins = time_in(claims, since);
    if (!begins || *begins - clock_leeway > now)
      return bad_token("is not valid yet; is the clock right where it was made, and here?");
  }
  if (text_in(claims, "sub").empty()) return bad_token("does not say who it is about");
  return {};
}

/// They end up in logs and tables, on one line each.
bool is_fit_to_show(const std::string& text) {
  constexpr std::size_t longest = 512;
  return text.size() <= longest && std::none_of(text.begin(), text.end(), [](unsigned char c) {
           return c < ' ' || c == 0x7f;
         });
}

bool are_fit_to_show(const std::vector<std::string>& texts) {
  constexpr std::size_t most = 1'000;
  return texts.size() <= most && std::all_of(texts.begin(), texts.end(), is_fit_to_show);
}

}  // namespace

Error bad_token(const std::string& why) { return {Cause::unauthenticated, "the token " + why}; }

std::string text_in(const json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::vector<std::string> texts_in(const json& object, const char* member) {
  std::vector<std::string> found;
  const auto there = object.find(member);
  if (there == object.end()) return found;
  if (there->is_string()) {
    std::istringstream words(there->get<std::string>());
    for (std::string word; words >> word;) found.push_back(word);
  }
  if (there->is_array())
    for (const json& each : *there)
      if (each.is_string()) found.push_back(each.get<std::string>());
  return found;
}

std::optional<system_clock::time_point> time_in(const json& object, const char* member) {
  constexpr double latest = 9e9;  // which the clock can tell
  const auto found = object.find(member);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  const auto seconds = found->get<double>();
  if (!(seconds >= 0 && seconds <= latest)) return std::nullopt;
  return system_clock::time_point(
      std::chrono::duration_cast<system_clock::duration>(std::chrono::duration<double>(seconds)));
}

Result<Identity> identity_in_claims(const json& claims, const Expected& expected,
                                    system_clock::time_point now) {
  if (const Status fits = check(claims, expected, now); !fits) return fits.error();
  Identity who;
  who.issuer = expected.issuer;
  who.subject = text_in(claims, "sub");
  who.groups = texts_in(claims, "groups");
  who.scopes = texts_in(claims, claims.contains("scope") ? "scope" : "scp");
  for (const char* name : {"preferred_username", "username", "email", "name"})
    if (who.name.empty()) who.name = text_in(claims, name);
  const auto verified = claims.find("email_verified");
  if (verified != claims.end() && *verified == true) who.email = text_in(claims, "email");
  if (expected.names_are_verified && who.email.empty() && text_in(claims, "username") == who.name &&
      who.name.find('@') != std::string::npos)
    who.email = who.name;
  who.linked = texts_in(claims, "identity_set");
  who.expires = *time_in(claims, "exp");
  if (!is_fit_to_show(who.subject) || !is_fit_to_show(who.name) || !is_fit_to_show(who.email) ||
      !are_fit_to_show(who.groups) || !are_fit_to_show(who.linked) || !are_fit_to_show(who.scopes))
    return bad_token("has names that are too long, or cannot be shown");
  const auto& scopes = who.scopes;
  if (!expected.scope.empty() &&
      std::find(scopes.begin(), scopes.end(), expected.scope) == scopes.end()) {
    return Error{Cause::permission_denied,
                 "the token has no scope '" + expected.scope + "'; log in for it"};
  }
  return who;
}

}  // namespace scistream::auth

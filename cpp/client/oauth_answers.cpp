#include "client/oauth_answers.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "auth/claims.hpp"
#include "base/base64url.hpp"
#include "base/secret.hpp"

namespace scistream::client {

namespace {

using auth::text_in;
using auth::texts_in;
using nlohmann::json;
using std::chrono::seconds;
using std::chrono::system_clock;

/// A document that forgets the texts on its first levels, which are where tokens stand.
class Document {
 public:
  explicit Document(std::string_view text) : json_(json::parse(text, nullptr, false)) {}
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;
  ~Document() {
    wipe(json_);
    const auto others = json_.is_object() ? json_.find("other_tokens") : json_.end();
    if (others == json_.end() || !others->is_array()) return;
    for (json& each : *others) wipe(each);
  }

  [[nodiscard]] bool is_object() const { return json_.is_object(); }
  const json& operator*() const { return json_; }

 private:
  static void wipe(json& object) {
    if (!object.is_object()) return;
    for (json& value : object) {
      if (!value.is_string()) continue;
      auto& text = value.get_ref<std::string&>();
      wipe_bytes(text.data(), text.size());
    }
  }

  json json_;
};

bool is_fit_to_show(const std::string& text, std::size_t longest) {
  return !text.empty() && text.size() <= longest &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < '\x7f'; });
}

/// Names of people have letters of all kinds.
std::string name_in(const json& object, const char* member) {
  constexpr std::size_t longest = 512;
  std::string text = text_in(object, member);
  const bool fits = text.size() <= longest && std::none_of(text.begin(), text.end(), [](char c) {
                      return static_cast<unsigned char>(c) < ' ' || c == 0x7f;
                    });
  return fits ? text : std::string();
}

void take_names(const json& claims, Tokens& tokens) {
  tokens.subject = name_in(claims, "sub");
  tokens.name.clear();
  for (const char* member : {"preferred_username", "username", "email", "name"})
    if (tokens.name.empty()) tokens.name = name_in(claims, member);
}

Secret secret_in(const json& object, const char* member) {
  const auto found = object.find(member);
  if (found == object.end() || !found->is_string()) return {};
  const auto& text = found->get_ref<const std::string&>();
  return is_one_word(text) ? Secret(std::string_view(text)) : Secret();
}

/// Seconds, in any way that providers write them.
std::optional<seconds> seconds_in(const json& object, const char* member) {
  constexpr long long most = 10LL * 365 * 86'400;
  const auto found = object.find(member);
  if (found == object.end()) return std::nullopt;
  if (found->is_number()) {
    const auto value = found->get<double>();
    return seconds(value > 0 ? static_cast<long long>(std::min<double>(value, most)) : 0);
  }
  const auto parsed =
      found->is_string() ? parse_number(member, text_in(object, member), 0, most) : 0LL;
  return parsed && *parsed > 0 ? std::optional(seconds(*parsed)) : std::nullopt;
}

bool has_all(const std::vector<std::string>& granted, const std::string& asked) {
  std::istringstream words(asked);
  for (std::string word; words >> word;)
    if (std::find(granted.begin(), granted.end(), word) == granted.end()) return false;
  return true;
}

bool is_bearer(const json& answer) {
  std::string type = text_in(answer, "token_type");
  std::transform(type.begin(), type.end(), type.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return type.empty() || type == "bearer";
}

/// Who the user is by an id_token. It came from the provider itself, over TLS, which stands for a
/// signature (OpenID Connect Core 1.0, section 3.1.3.7).
Status take_id_token(const std::string& token, const Asked& asked, Tokens& tokens) {
  const Error strange{Cause::unauthenticated,
                      "'" + asked.issuer + "' gives an id_token that is for something else"};
  const auto first = token.find('.');
  const auto second = first == std::string::npos ? first : token.find('.', first + 1);
  if (second == std::string::npos) return strange;
  const auto bytes = from_base64url(std::string_view(token).substr(first + 1, second - first - 1));
  const json claims = bytes ? json::parse(*bytes, nullptr, false) : json();
  if (!claims.is_object()) return strange;
  const auto audience = texts_in(claims, "aud");
  const bool is_ours =
      std::find(audience.begin(), audience.end(), asked.client_id) != audience.end();
  const bool is_new = asked.nonce.empty() || text_in(claims, "nonce") == asked.nonce;
  if (text_in(claims, "iss") != asked.issuer || !is_ours || !is_new) return strange;
  take_names(claims, tokens);
  return {};
}

}  // namespace

Result<Provider> provider_in(std::string_view text, const std::string& issuer) {
  const auto strange = [&issuer](const std::string& why) {
    return Error{Cause::unavailable, "'" + issuer + "' " + why};
  };
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object()) return strange("has no OpenID configuration");
  // Else one provider could have the logins of another.
  if (text_in(document, "issuer") != issuer)
    return strange("calls itself something else in its OpenID configuration");
  const auto own = net::parse_url(issuer);
  const auto endpoint = [&](const char* member) -> std::optional<net::Url> {
    auto url = net::parse_url(text_in(document, member));
    const bool is_safe =
        url && own && (url->encrypted || (!own->encrypted && is_loopback(url->server.host)));
    return is_safe ? std::optional(std::move(*url)) : std::nullopt;
  };
  const auto authorization = endpoint("authorization_endpoint");
  const auto token = endpoint("token_endpoint");
  if (!authorization || !token)
    return strange("names no https addresses for authorization and tokens");
  Provider provider;
  provider.issuer = issuer;
  provider.authorization = *authorization;
  provider.token = *token;
  provider.device_authorization = endpoint("device_authorization_endpoint");
  provider.revocation = endpoint("revocation_endpoint");
  provider.userinfo = endpoint("userinfo_endpoint");
  // Some refuse all where they are asked for one that they do not know.
  const auto known = texts_in(document, "scopes_supported");
  if (!known.empty()) {
    provider.extra_scopes = "openid";
    for (const char* each : {"profile", "email", "offline_access"})
      if (std::find(known.begin(), known.end(), each) != known.end())
        provider.extra_scopes += std::string(" ") + each;
  }
  return provider;
}

Result<Granted> granted_in(std::string_view answer, const Asked& asked,
                           system_clock::time_point now) {
  const Document document(answer);
  if (!document.is_object())
    return Error{Cause::unavailable, "'" + asked.issuer + "' gives an answer that is none"};
  std::vector<const json*> all{&*document};
  const auto others = (*document).find("other_tokens");
  if (others != (*document).end() && others->is_array())
    for (const json& each : *others)
      if (each.is_object()) all.push_back(&each);
  const auto is_asked = [&](const json* each) {
    // Of a single token that says nothing it is what was asked for (RFC 6749, section 5.1).
    if (!each->contains("scope")) return all.size() == 1;
    return has_all(texts_in(*each, "scope"), asked.scope);
  };
  const auto found = std::find_if(all.begin(), all.end(), is_asked);
  if (found == all.end()) {
    return Error{Cause::permission_denied,
                 "'" + asked.issuer + "' does not grant the scope '" + asked.scope + "'"};
  }
  Granted granted;
  Tokens& tokens = granted.tokens;
  tokens.access = secret_in(**found, "access_token");
  if (tokens.access.empty() || !is_bearer(**found)) {
    return Error{Cause::unavailable,
                 "'" + asked.issuer + "' gives an answer without a token that can be used"};
  }
  tokens.refresh = secret_in(**found, "refresh_token");
  if (const auto lasts = seconds_in(**found, "expires_in")) tokens.expires = now + *lasts;
  tokens.scope = (*found)->contains("scope") ? name_in(**found, "scope") : asked.scope;
  for (const json* each : all) {
    const bool shows =
        each->contains("scope") ? has_all(texts_in(*each, "scope"), "openid") : all.size() == 1;
    if (shows && granted.for_userinfo.empty())
      granted.for_userinfo = secret_in(*each, "access_token");
  }
  std::string id_token = text_in(*document, "id_token");
  const Wiped wiped(id_token);
  if (!id_token.empty()) {
    if (const Status taken = take_id_token(id_token, asked, tokens); !taken) return taken.error();
  }
  return granted;
}

void take_user(std::string_view answer, Tokens& tokens) {
  const json claims = json::parse(answer, nullptr, false);
  if (!claims.is_object()) return;
  const std::string subject = name_in(claims, "sub");
  if (subject.empty() || (!tokens.subject.empty() && subject != tokens.subject)) return;
  take_names(claims, tokens);
}

Result<DeviceCode> device_code_in(std::string_view answer, const net::Url& endpoint,
                                  system_clock::time_point now) {
  constexpr std::size_t longest_address = 2'000;
  constexpr std::size_t longest_code = 100;
  const Document document(answer);
  const Error strange{Cause::unavailable,
                      "'" + server_of(endpoint) + "' gives no code for another device"};
  if (!document.is_object()) return strange;
  // People open it: it must not be read on the way either.
  const auto address = [&](const char* member) {
    std::string text = text_in(*document, member);
    const auto url = net::parse_url(text);
    const bool is_safe = url && (url->encrypted || is_loopback(url->server.host));
    return is_safe && is_fit_to_show(text, longest_address) ? text : std::string();
  };
  DeviceCode device;
  device.code = secret_in(*document, "device_code");
  device.user_code = text_in(*document, "user_code");
  device.address = address("verification_uri");
  device.full_address = address("verification_uri_complete");
  if (device.code.empty() || device.address.empty() ||
      !is_fit_to_show(device.user_code, longest_code))
    return strange;
  device.expires =
      now + std::min(seconds_in(*document, "expires_in").value_or(seconds(600)), seconds(3600));
  device.interval =
      std::clamp(seconds_in(*document, "interval").value_or(seconds(5)), seconds(1), seconds(300));
  return device;
}

std::string error_named_in(std::string_view answer) {
  constexpr std::size_t longest = 200;
  const json document = json::parse(answer, nullptr, false);
  if (!document.is_object()) return {};
  std::string name = text_in(document, "error");
  return is_fit_to_show(name, longest) ? name : std::string();
}

Error refusal(const net::Url& endpoint, unsigned status, std::string_view answer,
              const std::vector<std::string_view>& secrets) {
  constexpr std::size_t longest = 200;
  constexpr unsigned too_many_requests = 429;
  constexpr unsigned server_error = 500;
  const auto tells = [&secrets](const std::string& text) {
    return is_fit_to_show(text, longest) &&
           std::none_of(secrets.begin(), secrets.end(), [&text](std::string_view secret) {
             return !secret.empty() && text.find(secret) != std::string::npos;
           });
  };
  const json document = json::parse(answer, nullptr, false);
  const std::string name = document.is_object() ? text_in(document, "error") : std::string();
  const std::string words =
      document.is_object() ? text_in(document, "error_description") : std::string();
  std::string message = "'" + server_of(endpoint) + "' refuses: ";
  message += tells(name) ? name : "HTTP " + std::to_string(status);
  if (tells(words)) message += " (" + words + ")";
  const auto is_one_of = [&name](std::initializer_list<const char*> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (is_one_of({"invalid_grant", "invalid_client", "unauthorized_client", "invalid_token"}))
    return {Cause::unauthenticated, message};
  if (is_one_of({"access_denied", "consent_required"})) return {Cause::permission_denied, message};
  if (is_one_of({"expired_token"})) return {Cause::timeout, message};
  if (is_one_of({"invalid_scope", "unknown_scope"})) return {Cause::invalid_argument, message};
  const bool is_down = status >= server_error || status == too_many_requests ||
                       is_one_of({"temporarily_unavailable", "server_error"});
  return {is_down ? Cause::unavailable : Cause::failure, message};
}

}  // namespace scistream::client

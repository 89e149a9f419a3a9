#include "auth/jwt.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>

#include "auth/claims.hpp"
#include "base/base64url.hpp"

namespace scistream::auth {

namespace {

using nlohmann::json;
using std::chrono::system_clock;

constexpr std::size_t longest_token = 16'384;

/// Its three parts, still encoded.
struct Parts {
  std::string_view header;
  std::string_view claims;
  std::string_view signature;
  std::string_view is_signed;  ///< The first two and the dot between them.
};

std::optional<Parts> parts_of(std::string_view token) {
  const auto first = token.find('.');
  const auto second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  return Parts{token.substr(0, first), token.substr(first + 1, second - first - 1),
               token.substr(second + 1), token.substr(0, second)};
}

std::optional<json> object_in(std::string_view encoded) {
  const auto text = from_base64url(encoded);
  if (!text) return std::nullopt;
  json parsed = json::parse(*text, nullptr, false);
  return parsed.is_object() ? std::optional(std::move(parsed)) : std::nullopt;
}

/// Whether it is for access to services, rather than about a login or an event (RFC 9068, section
/// 4; RFC 8725, section 3.11).
bool is_for_access(const json& header, const json& claims, const Expected& expected) {
  std::string type = text_in(header, "typ");
  for (char& c : type) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (type == "at+jwt" || type == "application/at+jwt") return true;
  if (!expected.plain_tokens || (!type.empty() && type != "jwt")) return false;
  constexpr std::array of_others{"nonce", "at_hash", "c_hash", "events", "auth_time"};
  return std::none_of(of_others.begin(), of_others.end(),
                      [&claims](const char* each) { return claims.contains(each); });
}

Result<Signature> signature_in(const json& header) {
  // Extensions that one must understand, and none is understood.
  if (header.contains("crit")) return bad_token("has extensions that are not known here");
  return parse_signature(text_in(header, "alg"));
}

}  // namespace

Result<Identity> identity_in(std::string_view token, const KeySet& keys, const Expected& expected,
                             system_clock::time_point now) {
  if (token.size() > longest_token) return bad_token("is longer than any that is accepted");
  const auto parts = parts_of(token);
  const auto header = parts ? object_in(parts->header) : std::nullopt;
  const auto signature = parts ? from_base64url(parts->signature) : std::nullopt;
  if (!header || !signature) return bad_token("is none that can be read");
  const auto how = signature_in(*header);
  if (!how) return how.error();
  const std::string id = text_in(*header, "kid");
  const auto found = keys.find(id, *how);
  // Else one token could cost as many checks as there are keys.
  if (id.empty() && found.size() > 1) return bad_token("does not say which key it is signed with");
  if (found.empty()) return Error{Cause::not_found, "the token is signed with an unknown key"};
  const bool good = std::any_of(found.begin(), found.end(), [&](const KeySet::Key* each) {
    return is_signed(parts->is_signed, *signature, *how, *each);
  });
  if (!good) return bad_token("has no good signature");
  const auto claims = object_in(parts->claims);
  if (!claims) return bad_token("is none that can be read");
  // Of a key that several issuers may share, only the token itself says whose it is.
  if (!claims->contains("iss")) return bad_token("does not say who made it");
  if (!is_for_access(*header, *claims, expected)) return bad_token("is not one for access");
  return identity_in_claims(*claims, expected, now);
}

std::string issuer_named_in(std::string_view token) {
  const auto parts = token.size() > longest_token ? std::nullopt : parts_of(token);
  const auto claims = parts && object_in(parts->header) ? object_in(parts->claims) : std::nullopt;
  return claims ? text_in(*claims, "iss") : std::string();
}

}  // namespace scistream::auth

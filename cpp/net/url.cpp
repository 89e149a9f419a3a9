#include "net/url.hpp"

#include <algorithm>
#include <cctype>

namespace scistream::net {

namespace {

constexpr std::uint16_t https_port = 443;
constexpr std::uint16_t http_port = 80;
constexpr std::size_t longest = 8'192;

bool is_plain(char c) { return c > ' ' && c < '\x7f'; }

std::uint16_t usual_port(const Url& url) { return url.encrypted ? https_port : http_port; }

/// What is left of `text` behind a scheme, in any case.
bool take_scheme(std::string_view& text, std::string_view scheme) {
  const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  if (text.size() < scheme.size() || !std::equal(scheme.begin(), scheme.end(), text.begin(),
                                                 [&](char b, char a) { return same(a, b); }))
    return false;
  text.remove_prefix(scheme.size());
  return true;
}

}  // namespace

Result<Url> parse_url(std::string_view text) {
  const auto refuse = [&](const std::string& why) {
    return Error{Cause::invalid_argument, "'" + std::string(text.substr(0, 200)) +
                                              "' is not an address such as "
                                              "https://auth.example.org/path: " +
                                              why};
  };
  if (text.size() > longest) return refuse("it is longer than any");
  if (!std::all_of(text.begin(), text.end(), is_plain))
    return refuse("it has characters that belong escaped");
  std::string_view rest = text;
  Url url;
  if (take_scheme(rest, "http://")) {
    url.encrypted = false;
  } else if (!take_scheme(rest, "https://")) {
    return refuse("it begins with neither https:// nor http://");
  }
  if (rest.find('#') != std::string_view::npos) return refuse("it has a fragment");
  const auto end = std::min(rest.find_first_of("/?"), rest.size());
  const std::string_view authority = rest.substr(0, end);
  // Which may be a password, and is not repeated.
  if (authority.find('@') != std::string_view::npos)
    return Error{Cause::invalid_argument,
                 "an address has a user in it: leave what ends with @ out"};
  if (end < rest.size()) url.target = (rest[end] == '?' ? "/" : "") + std::string(rest.substr(end));
  // Of an address of six groups, colons are its own.
  const auto colon = authority.rfind(':');
  const bool has_port = colon != std::string_view::npos && !authority.ends_with(']');
  auto server =
      parse_endpoint(has_port ? std::string(authority)
                              : std::string(authority) + ":" + std::to_string(usual_port(url)));
  if (!server) return refuse(server.error().message);
  url.server = std::move(*server);
  return url;
}

std::string server_of(const Url& url) {
  std::string host = to_string(url.server);
  if (url.server.port == usual_port(url)) host.resize(host.rfind(':'));
  return (url.encrypted ? "https://" : "http://") + host;
}

std::string to_string(const Url& url) { return server_of(url) + url.target; }

namespace {

void append_encoded(std::string& all, std::string_view text) {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  static constexpr std::string_view kept = "-._~";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && (std::isalnum(byte) != 0 || kept.find(c) != std::string_view::npos)) {
      all += c;
      continue;
    }
    all += '%';
    all += digits[byte >> 4U];
    all += digits[byte & 15U];
  }
}

/// Of a byte that is encoded.
constexpr std::size_t longest_byte = 3;

}  // namespace

Result<Url> openid_configuration_of(std::string_view issuer) {
  while (issuer.ends_with('/')) issuer.remove_suffix(1);
  return parse_url(std::string(issuer) + "/.well-known/openid-configuration");
}

std::string percent_encoded(std::string_view text) {
  std::string all;
  all.reserve(longest_byte * text.size());
  append_encoded(all, text);
  return all;
}

std::string form_encoded(const std::vector<FormField>& fields) {
  // All of it at once: a text that grows leaves pieces of what it holds behind.
  std::size_t most = 0;
  for (const auto& [name, value] : fields) most += 2 + longest_byte * (name.size() + value.size());
  std::string all;
  all.reserve(most);
  for (const auto& [name, value] : fields) {
    if (!all.empty()) all += '&';
    append_encoded(all, name);
    all += '=';
    append_encoded(all, value.view());
  }
  return all;
}

}  // namespace scistream::net

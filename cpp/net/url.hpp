#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "base/secret.hpp"

namespace scistream::net {

/// Where something is in the web, `https://host:port/path?query`.
struct Url {
  bool encrypted = true;     ///< `https`; else `http`.
  Endpoint server;           ///< Its port is the scheme's where none is given.
  std::string target = "/";  ///< Path and query, as a request line has them.

  friend bool operator==(const Url&, const Url&) = default;
};

/// Parses an absolute address of either scheme. `invalid_argument` names the text and what is wrong
/// with it: names and passwords in it, fragments, characters that belong escaped.
Result<Url> parse_url(std::string_view text);

/// As parse_url() takes it; the port only where it is not the scheme's.
std::string to_string(const Url& url);
/// Its scheme, host and port only: for messages, since queries may hold secrets.
std::string server_of(const Url& url);

/// Where an issuer says what it offers (OpenID Connect Discovery 1.0, section 4).
Result<Url> openid_configuration_of(std::string_view issuer);

/// All but letters, digits and `-._~` as `%XX` (RFC 3986, section 2.1).
std::string percent_encoded(std::string_view text);

/// One line of a form. Its value may be a token or a password.
struct FormField {
  FormField(std::string name, std::string_view value) : name(std::move(name)), value(value) {}

  std::string name;
  Secret value;
};

/// Fields as a form sends them (`application/x-www-form-urlencoded`).
std::string form_encoded(const std::vector<FormField>& fields);

}  // namespace scistream::net

#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/secret.hpp"
#include "client/oauth.hpp"

namespace scistream::client {

/// What providers say, as OAuth reads it. No function keeps or repeats a secret of an answer.

/// From a discovery document (OpenID Connect Discovery 1.0, section 3). `unavailable` says what is
/// wrong with it: it is not of this issuer, or an endpoint could be read on the way.
Result<Provider> provider_in(std::string_view document, const std::string& issuer);

/// What a token has to be, and for whom.
struct Asked {
  std::string issuer;
  std::string client_id;
  std::string scope;  ///< One or several words, all of which it must have.
  std::string nonce;  ///< Of the id_token; empty: none was given.
};

struct Granted {
  Tokens tokens;
  Secret for_userinfo;  ///< The token that may be shown to the provider; empty: none.
};

/// From the answer to a grant. One with several tokens (`other_tokens` of Globus Auth) is searched
/// for the one with the scope: any other is for another service, and goes to nobody.
/// `permission_denied` if none has it.
Result<Granted> granted_in(std::string_view answer, const Asked& asked,
                           std::chrono::system_clock::time_point now);

/// Takes who it is from an answer of the userinfo endpoint; not if the subject is another's.
void take_user(std::string_view answer, Tokens& tokens);

Result<DeviceCode> device_code_in(std::string_view answer, const net::Url& endpoint,
                                  std::chrono::system_clock::time_point now);

/// `error` of an answer; empty if there is none that can be shown.
std::string error_named_in(std::string_view answer);

/// What a refusal means. The provider's own words are in it where they can be shown and hold none
/// of `secrets`.
Error refusal(const net::Url& endpoint, unsigned status, std::string_view answer,
              const std::vector<std::string_view>& secrets);

}  // namespace scistream::client

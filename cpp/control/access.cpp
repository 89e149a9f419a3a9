#include "control/access.hpp"

#include <utility>

#include "base/endpoint.hpp"
#include "base/file.hpp"
#include "net/url.hpp"

namespace scistream::control {

namespace {

Error invalid(std::string message) { return {Cause::invalid_argument, std::move(message)}; }

/// Of one that is asked: in clear, who is on the path would answer.
Result<net::Url> provider_at(const std::string& option, const std::string& address) {
  auto url = net::parse_url(address);
  if (!url) return invalid(option + ": " + url.error().message);
  if (!url->encrypted && !is_loopback(url->server.host))
    return invalid(option + " '" + address + "' is not encrypted: name an https address");
  return url;
}

Result<Secret> client_secret(const AccessSettings& settings) {
  if (settings.client_secret_file.empty()) return settings.client_secret;
  if (!settings.client_secret.empty())
    return invalid("--client-secret and --client-secret-file: give one of them");
  return read_secret_file(settings.client_secret_file, "file of --client-secret-file");
}

Result<auth::IntrospectionOptions> introspection(const AccessSettings& settings) {
  auto secret = client_secret(settings);
  if (!secret) return secret.error();
  if (settings.client_id.empty() || secret->empty()) {
    return invalid("--client-id goes together with --client-secret-file (or --client-secret): " +
                   std::string(settings.client_id.empty() ? "the id" : "the secret") +
                   " is missing");
  }
  auto endpoint = provider_at("--introspection-url", settings.introspection_url);
  if (!endpoint) return endpoint.error();
  auth::IntrospectionOptions options;
  // Asked of Globus Auth alone: others need not know it.
  options.identity_set = endpoint->server.host == "auth.globus.org";
  options.endpoint = std::move(*endpoint);
  options.client_id = settings.client_id;
  options.client_secret = std::move(*secret);
  options.scope = settings.scope;
  // One with a path in its name says so as an issuer of signed tokens.
  for (const std::string& issuer : settings.issuers) {
    const auto url = net::parse_url(issuer);
    if (url && net::server_of(*url) == net::server_of(options.endpoint)) options.issuer = issuer;
  }
  return options;
}

}  // namespace

Status complete_access(const AccessSettings& settings, ControlServerOptions& options) {
  auth::IdentityOptions identity;
  identity.most_sessions = settings.most_sessions;
  identity.ca_file = settings.identity_ca.string();
  const bool has_secret = !settings.client_secret.empty() || !settings.client_secret_file.empty();
  // With issuers of signed tokens an id alone is their audience.
  if (has_secret || (!settings.client_id.empty() && settings.issuers.empty())) {
    auto wanted = introspection(settings);
    if (!wanted) return wanted.error();
    identity.introspection = std::move(*wanted);
  }
  if (identity.introspection && settings.own_authenticator) {
    return invalid(
        "an authenticator of one's own takes the place of --client-id: give one of them");
  }
  identity.own = settings.own_authenticator;
  const std::string audience = settings.audience.empty() ? settings.client_id : settings.audience;
  for (const std::string& issuer : settings.issuers) {
    if (const auto url = provider_at("--issuer", issuer); !url) return url.error();
    if (audience.empty())
      return invalid(
          "--issuer needs --audience: tokens that are for others are not for this "
          "server");
    identity.issuers.push_back({issuer, audience, settings.scope, settings.plain_tokens, false});
  }
  if (identity.introspection || identity.own || !identity.issuers.empty() ||
      !options.client_ca.empty())
    options.identity = std::move(identity);
  return {};
}

}  // namespace scistream::control

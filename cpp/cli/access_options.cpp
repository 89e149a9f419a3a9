#include "cli/access_options.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/file.hpp"
#include "base/text.hpp"
#include "cli/terminal.hpp"
#include "net/url.hpp"

namespace scistream::cli {

namespace {

constexpr const char* secret_variable = "SCISTREAM_CLIENT_SECRET";

Error invalid(std::string message) { return {Cause::invalid_argument, std::move(message)}; }

Result<Secret> client_secret(const CLI::App& app, AccessSettings& settings) {
  if (!settings.client_secret_file.empty()) {
    if (!settings.client_secret.empty())
      return invalid("--client-secret and --client-secret-file: give one of them");
    return read_secret_file(settings.client_secret_file, "file of --client-secret-file");
  }
  // One that came from the environment is equal to it.
  const char* const variable = std::getenv(secret_variable);  // NOLINT(concurrency-mt-unsafe)
  const bool is_in_argv = !settings.client_secret.empty() &&
                          (variable == nullptr || settings.client_secret != variable) &&
                          app.count("--client-secret") > 0;
  if (is_in_argv) {
    const std::string warning =
        "--client_secret: other users of this machine can read it in the list of processes; use "
        "--client-secret-file, or the variable SCISTREAM_CLIENT_SECRET";
    std::fprintf(stderr, "%s\n", styled(warning, Style::red, STDERR_FILENO).c_str());
  }
  // Programs that are started from here need not know it.
  ::unsetenv(secret_variable);  // NOLINT(concurrency-mt-unsafe): there is one thread yet
  const Wiped wiped(settings.client_secret);
  return Secret(settings.client_secret);
}

/// Of one that is asked: in clear, who is on the path would answer.
Result<net::Url> provider_at(const std::string& option, const std::string& address) {
  auto url = net::parse_url(address);
  if (!url) return invalid(option + ": " + url.error().message);
  if (!url->encrypted && !is_loopback(url->server.host))
    return invalid(option + " '" + address + "' is not encrypted: name an https address");
  return url;
}

Result<auth::IntrospectionOptions> introspection(const CLI::App& app, AccessSettings& settings) {
  auto secret = client_secret(app, settings);
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

void add_access_options(CLI::App& app, AccessSettings& settings,
                        control::ControlServerOptions& options) {
  const auto env = [](CLI::Option* option, const char* name) {
    option->envname(std::string("SCISTREAM_") + name)->group("Users");
  };
  env(app.add_option("--client-id", settings.client_id,
                     "This server's client id at an identity provider, which is asked whom a token "
                     "was given to"),
      "CLIENT_ID");
  env(app.add_option("--client-secret", settings.client_secret,
                     "Its secret; better in a file or in the environment"),
      "CLIENT_SECRET");
  env(app.add_option("--client-secret-file", settings.client_secret_file, "File with that secret"),
      "CLIENT_SECRET_FILE");
  env(app.add_option("--introspection-url", settings.introspection_url,
                     "Where the provider answers (RFC 7662)")
          ->capture_default_str(),
      "INTROSPECTION_URL");
  env(app.add_option("--issuer", settings.issuers,
                     "Issuer of signed tokens (JWT) to accept; may be repeated")
          ->delimiter(','),
      "ISSUER");
  env(app.add_option("--audience", settings.audience, "That signed tokens must be for [client-id]"),
      "AUDIENCE");
  env(app.add_option("--scope", settings.scope,
                     "That tokens must have [ISSUER/scopes/CLIENT_ID/scistream; none of signed "
                     "ones]"),
      "SCOPE");
  env(app.add_flag("--plain-tokens", settings.plain_tokens,
                   "Accept signed tokens that do not say that they are for access (RFC 9068)"),
      "PLAIN_TOKENS");
  env(app.add_option("--identity-ca", settings.identity_ca,
                     "Authority of the providers' certificates, PEM [the system's]"),
      "IDENTITY_CA");
  env(app.add_option("--client-ca", options.client_ca,
                     "Accept users with a certificate of this authority, PEM"),
      "CLIENT_CA");
  env(app.add_option("--policy", options.policy,
                     "Who may do what, TOML [users have sessions of their own]"),
      "POLICY");
  env(app.add_option("--max-sessions-per-user", settings.most_sessions,
                     "At a time, where the policy says nothing else")
          ->capture_default_str(),
      "MAX_SESSIONS_PER_USER");
  env(app.add_option("--audit", options.audit,
                     "Where decisions are kept, one JSON object a line [audit.jsonl in the state "
                     "folder, where users are known]"),
      "AUDIT");
  env(app.add_option("--allow-target", options.allow_target,
                     "Network[:ports] of producers' applications, ! in front denies; may be "
                     "repeated [the networks of this machine]")
          ->delimiter(','),
      "ALLOW_TARGET");
  env(app.add_option("--allow-peer", options.allow_peer,
                     "Network[:ports] of other facilities' listeners; may be repeated [any but "
                     "loopback, link-local and metadata addresses]")
          ->delimiter(','),
      "ALLOW_PEER");
  env(app.add_flag("--insecure-no-auth", options.insecure_no_auth,
                   "Serve anyone who can reach the port, without knowing who it is"),
      "INSECURE_NO_AUTH");
}

Status complete_access(const CLI::App& app, AccessSettings& settings,
                       control::ControlServerOptions& options) {
  auth::IdentityOptions identity;
  constexpr long long most = 1'000'000;
  const auto sessions = parse_number("--max-sessions-per-user", settings.most_sessions, 1, most);
  if (!sessions) return sessions.error();
  identity.most_sessions = static_cast<std::size_t>(*sessions);
  identity.ca_file = settings.identity_ca.string();
  const bool has_secret = !settings.client_secret.empty() || !settings.client_secret_file.empty();
  // With issuers of signed tokens an id alone is their audience.
  if (has_secret || (!settings.client_id.empty() && settings.issuers.empty())) {
    auto wanted = introspection(app, settings);
    if (!wanted) return wanted.error();
    identity.introspection = std::move(*wanted);
  }
  const std::string audience = settings.audience.empty() ? settings.client_id : settings.audience;
  for (const std::string& issuer : settings.issuers) {
    if (const auto url = provider_at("--issuer", issuer); !url) return url.error();
    if (audience.empty())
      return invalid(
          "--issuer needs --audience: tokens that are for others are not for this "
          "server");
    identity.issuers.push_back({issuer, audience, settings.scope, settings.plain_tokens, false});
  }
  if (identity.introspection || !identity.issuers.empty() || !options.client_ca.empty())
    options.identity = std::move(identity);
  return {};
}

}  // namespace scistream::cli

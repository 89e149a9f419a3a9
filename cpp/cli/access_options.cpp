#include "cli/access_options.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/secret.hpp"
#include "cli/terminal.hpp"

namespace scistream::cli {

namespace {

constexpr const char* secret_variable = "SCISTREAM_CLIENT_SECRET";

/// One that came from the environment is equal to it.
void warn_of_argument(const CLI::App& app, const std::string& secret) {
  const char* const variable = std::getenv(secret_variable);  // NOLINT(concurrency-mt-unsafe)
  const bool is_in_argv = !secret.empty() && (variable == nullptr || secret != variable) &&
                          app.count("--client-secret") > 0;
  if (!is_in_argv) return;
  const std::string warning =
      "--client_secret: other users of this machine can read it in the list of processes; use "
      "--client-secret-file, or the variable SCISTREAM_CLIENT_SECRET";
  std::fprintf(stderr, "%s\n", styled(warning, Style::red, STDERR_FILENO).c_str());
}

}  // namespace

void add_access_options(CLI::App& app, AccessArguments& arguments,
                        control::ControlServerOptions& options) {
  control::AccessSettings& settings = arguments.settings;
  const auto env = [](CLI::Option* option, const char* name) {
    option->envname(std::string("SCISTREAM_") + name)->group("Users");
  };
  env(app.add_option("--client-id", settings.client_id,
                     "This server's client id at an identity provider, which is asked whom a token "
                     "was given to"),
      "CLIENT_ID");
  env(app.add_option("--client-secret", arguments.secret,
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
  env(app.add_option("--max-sessions-per-user", arguments.sessions,
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

Status complete_access(const CLI::App& app, AccessArguments& arguments,
                       control::ControlServerOptions& options) {
  constexpr long long most = 1'000'000;
  const auto sessions = parse_number("--max-sessions-per-user", arguments.sessions, 1, most);
  if (!sessions) return sessions.error();
  control::AccessSettings& settings = arguments.settings;
  settings.most_sessions = static_cast<std::size_t>(*sessions);
  warn_of_argument(app, arguments.secret);
  // Programs that are started from here need not know it.
  ::unsetenv(secret_variable);  // NOLINT(concurrency-mt-unsafe): there is one thread yet
  settings.client_secret = Secret(std::string_view(arguments.secret));
  wipe_bytes(arguments.secret.data(), arguments.secret.size());
  return control::complete_access(settings, options);
}

}  // namespace scistream::cli

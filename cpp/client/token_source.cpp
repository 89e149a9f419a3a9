#include "client/token_source.hpp"

#include <chrono>

#include "base/file.hpp"
#include "base/secret.hpp"
#include "base/text.hpp"

namespace scistream::client {

namespace {

/// Of a token that is given away: longer than a call and what it waits for.
constexpr std::chrono::seconds least_life{60};

Error no_login(const std::string& issuer, const std::string& scope) {
  return {Cause::unauthenticated,
          "there is no login for " + scope + "; log in: " + login_command(issuer, scope)};
}

Error has_expired(const Login& login) {
  return {Cause::unauthenticated, "the login for " + login.scope + " has expired; log in again: " +
                                      login_command(login.issuer(), login.scope)};
}

bool is_away(const Error& error) {
  return error.cause == Cause::unavailable || error.cause == Cause::timeout;
}

}  // namespace

std::string login_command(const std::string& issuer, const std::string& scope) {
  const bool is_usual = issuer.empty() || issuer == globus().issuer;
  return "s2uc login --scope " + scope + (is_usual ? "" : " --provider " + issuer);
}

TokenOptions token_options_of_user(const std::filesystem::path& state_directory) {
  TokenOptions options;
  options.state_directory = state_directory;
  options.keyring = SystemKeyring::for_folder(state_directory);
  std::string token = environment_variable("SCISTREAM_TOKEN");
  const Wiped wiped(token);
  options.token = Secret(std::string_view(token));
  options.token_file = environment_variable("SCISTREAM_TOKEN_FILE");
  options.config_directory = default_config_directory();
  options.workflow.client_id = environment_variable("SCISTREAM_WORKFLOW_CLIENT_ID");
  options.workflow.client_secret_file =
      environment_variable("SCISTREAM_WORKFLOW_CLIENT_SECRET_FILE");
  const std::string issuer = environment_variable("SCISTREAM_WORKFLOW_ISSUER");
  options.workflow.issuer = issuer_of(issuer.empty() ? "globus" : issuer);
  options.oauth.ca_file = environment_variable("SCISTREAM_IDENTITY_CA");
  return options;
}

TokenSource::TokenSource(TokenOptions options)
    : options_(std::move(options)), store_(options_.state_directory, options_.keyring) {
  if (!options_.oauth.now) options_.oauth.now = [] { return std::chrono::system_clock::now(); };
}

bool TokenSource::lasts(const Tokens& tokens) const {
  return tokens.expires - least_life > options_.oauth.now();
}

bool TokenSource::is_good(const Tokens& tokens) const {
  return tokens.expires > options_.oauth.now();
}

Result<Secret> TokenSource::token_for(const Endpoint& server, const std::string& scope) {
  if (!options_.token.empty()) {
    if (is_one_word(options_.token.view())) return options_.token;
    return Error{Cause::invalid_argument, "the token given is none: it is one word of ASCII"};
  }
  if (!options_.token_file.empty()) return token_in_file();
  // Read anew: programs that run for long see what users change.
  const auto config = options_.config_directory.empty()
                          ? Result<LoginConfig>(LoginConfig())
                          : LoginConfig::read(options_.config_directory / "config.toml");
  if (!config) return config.error();
  const bool is_given = !options_.workflow.client_id.empty();
  const LoginConfig::Workflow& workflow = is_given ? options_.workflow : config->workflow;
  if (!workflow.client_id.empty()) {
    const auto entry = config->servers.find(canonical_server(server));
    const bool is_configured = entry != config->servers.end();
    // What is configured for another issuer is not this one's.
    const bool is_its_issuer = !is_configured || entry->second.issuer == workflow.issuer;
    const std::string of_config = is_configured ? entry->second.scope : "";
    const std::string wanted = scope.empty() ? of_config : scope;
    if (!wanted.empty() && is_its_issuer) return token_of_workflow(workflow, wanted);
  }
  return token_of_login(server, scope, *config);
}

Result<Secret> TokenSource::token_in_file() {
  const std::string what = "token file";
  const auto& path = options_.token_file;
  std::error_code none;
  if (!std::filesystem::is_fifo(path, none)) return read_secret_file(path, what);
  const std::lock_guard lock(pipe_mutex_);
  if (!of_pipe_.empty()) return of_pipe_;
  auto token = read_secret_file(path, what);
  if (token) of_pipe_ = *token;
  return token;
}

Result<Secret> TokenSource::token_of_login(const Endpoint& server, const std::string& scope,
                                           const LoginConfig& config) {
  auto found = scope.empty() ? store_.find(server) : store_.find(scope);
  if (!found) return found.error();
  if (!*found && !scope.empty()) return no_login("", scope);
  const auto entry = config.servers.find(canonical_server(server));
  if (!*found && entry != config.servers.end()) {
    const auto& wanted = entry->second;
    found = store_.find(wanted.issuer, wanted.scope);
    if (!found) return found.error();
    if (!*found) return no_login(wanted.issuer, wanted.scope);
  }
  if (!*found) return Secret();
  auto login = renewed(std::move(**found));
  if (!login) return login.error();
  // If that cannot be kept, the user says the scope the next time as well.
  if (!scope.empty()) (void)store_.give(server, login->issuer(), login->scope);
  return login->tokens.access;
}

Result<Login> TokenSource::renewed(Login login) {
  if (lasts(login.tokens)) return login;
  const auto lock = store_.lock(login.issuer(), login.scope);
  if (!lock) return is_good(login.tokens) ? Result<Login>(std::move(login)) : lock.error();
  // Another command may have renewed it meanwhile, or logged out.
  auto now = store_.find(login.issuer(), login.scope);
  if (!now) return now.error();
  if (!*now) return no_login(login.issuer(), login.scope);
  login = std::move(**now);
  if (lasts(login.tokens)) return login;
  if (login.tokens.refresh.empty())
    return is_good(login.tokens) ? Result<Login>(std::move(login)) : has_expired(login);
  auto tokens = oauth(login.ca_file)
                    .refresh(login.provider, login.client_id,
                             full_scope(login.issuer(), login.scope), login.tokens);
  if (tokens) {
    login.tokens = std::move(*tokens);
    if (Status saved = store_.save(login); !saved) return saved.error();
    return login;
  }
  if (is_good(login.tokens)) return login;
  if (!is_away(tokens.error())) return has_expired(login);
  return Error{Cause::unavailable,
               "the login for " + login.scope +
                   " has expired and cannot be renewed now: " + tokens.error().message};
}

Result<Secret> TokenSource::token_of_workflow(const LoginConfig::Workflow& workflow,
                                              const std::string& scope) {
  const std::lock_guard lock(workflow_mutex_);
  const std::string full = full_scope(workflow.issuer, scope);
  const auto known = of_workflow_.find(full);
  if (known != of_workflow_.end() && lasts(known->second)) return known->second.access;
  const auto ask = [&]() -> Result<Tokens> {
    const auto secret =
        read_secret_file(workflow.client_secret_file, "file of the workflow's secret");
    if (!secret) return secret.error();
    OAuth& provider = oauth(options_.oauth.ca_file);
    if (!workflow_provider_ || workflow_provider_->issuer != workflow.issuer) {
      auto found = provider.discover(workflow.issuer);
      if (!found) return found.error();
      workflow_provider_ = std::move(*found);
    }
    return provider.of_client(*workflow_provider_, workflow.client_id, *secret, full);
  };
  auto tokens = ask();
  if (tokens) {
    Tokens& kept = of_workflow_[full] = std::move(*tokens);
    return kept.access;
  }
  if (known != of_workflow_.end() && is_good(known->second)) return known->second.access;
  return tokens.error();
}

OAuth& TokenSource::oauth(const std::string& ca_file) {
  const std::lock_guard lock(oauth_mutex_);
  auto& made = oauth_[ca_file];
  if (!made) {
    OAuthOptions options = options_.oauth;
    options.ca_file = ca_file;
    made = std::make_unique<OAuth>(std::move(options));
  }
  return *made;
}

}  // namespace scistream::client

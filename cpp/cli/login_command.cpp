#include "cli/login_command.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/secret.hpp"
#include "base/text.hpp"
#include "base/utc.hpp"
#include "cli/browser.hpp"
#include "cli/command_line.hpp"
#include "cli/signals.hpp"
#include "cli/terminal.hpp"
#include "client/login_config.hpp"
#include "client/token_source.hpp"
#include "client/token_store.hpp"

namespace scistream::cli {

namespace {

using client::Login;
using client::OAuth;
using nlohmann::json;
using std::chrono::system_clock;

void show(const json& document) {
  std::printf("%s\n", document.dump(2, ' ', false, json::error_handler_t::replace).c_str());
}

std::string time_of(system_clock::time_point when) { return in_utc(when, "%Y-%m-%dT%H:%M:%SZ"); }

bool lasts(const client::Tokens& tokens) { return tokens.expires > system_clock::now(); }

/// The next use of one that has expired renews it.
bool is_logged_in(const Login& login) {
  return lasts(login.tokens) || !login.tokens.refresh.empty();
}

std::string user_of(const Login& login) {
  const auto& tokens = login.tokens;
  if (!tokens.name.empty()) return tokens.name;
  return tokens.subject.empty() ? "-" : tokens.subject;
}

std::string expiry_of(const Login& login) {
  using std::chrono::milliseconds;
  const auto& tokens = login.tokens;
  const bool is_renewed = !tokens.refresh.empty();
  if (tokens.expires == system_clock::time_point::max()) return "not said";
  if (!lasts(tokens)) return is_renewed ? "renewed at its next use" : "expired";
  const auto left = std::chrono::duration_cast<milliseconds>(tokens.expires - system_clock::now());
  return "in " + human_duration(static_cast<std::uint64_t>(left.count())) +
         (is_renewed ? ", then renewed" : "");
}

json document_of(const Login& login) {
  const auto& tokens = login.tokens;
  json document{{"scope", login.scope},
                {"issuer", login.issuer()},
                {"user", user_of(login)},
                {"subject", tokens.subject},
                {"s2cs", to_strings(login.servers)},
                {"logged_in", is_logged_in(login)},
                {"renewable", !tokens.refresh.empty()},
                {"sealed", login.is_sealed},
                {"expires", nullptr}};
  if (tokens.expires != system_clock::time_point::max())
    document["expires"] = time_of(tokens.expires);
  return document;
}

Result<client::LoginConfig> configuration() {
  const auto folder = client::default_config_directory();
  if (folder.empty()) return client::LoginConfig();
  return client::LoginConfig::read(folder / "config.toml");
}

/// What a login is about, before anybody is asked.
struct Plan {
  std::string issuer;
  std::string scope;
  std::string client_id;
  std::string ca_file;
  std::vector<Endpoint> servers;
};

/// What a control server, which is trusted to be itself, says of the tokens that it takes. Nothing
/// from one that asks for none.
Result<control::LoginHint> announced_by(const Endpoint& server, ClientSettings& settings) {
  auto options = client_options(settings, Warnings::verbose_only);
  if (!options) return options.error();
  options->tokens.reset();
  client::UserClient client(*options);
  const auto info = client.info(server);
  const bool is_refused = !info && (info.error().cause == Cause::unauthenticated ||
                                    info.error().cause == Cause::permission_denied);
  auto hint = client.at(server).login_hint();
  if (!info && (!is_refused || hint.issuer.empty())) return info.error();
  return hint;
}

/// A server that names what is another's would get what passes for the user there.
Status check_announced(const client::TokenStore& store, const client::LoginConfig& config,
                       const std::string& issuer, const std::string& scope,
                       const Endpoint& server) {
  const auto known = store.find(issuer, scope);
  auto servers = known && *known ? (*known)->servers : std::vector<Endpoint>();
  for (const auto& [each, login] : config.servers)
    if (login.issuer == issuer && login.scope == scope) servers.push_back(each);
  if (servers.empty()) return {};
  const std::string host = client::canonical_server(server).host;
  for (const Endpoint& each : servers)
    if (each.host == host) return {};
  return Error{Cause::failed_precondition, to_string(server) + " asks for the login for " + scope +
                                               ", which is for " + listed(to_strings(servers)) +
                                               ": if both are of one facility, say --scope " +
                                               scope};
}

Result<Plan> plan_of(const LoginSettings& settings, ClientSettings& client) {
  const auto config = configuration();
  if (!config) return config.error();
  Plan plan;
  for (const std::string& each : settings.s2cs) {
    auto servers = parse_endpoints(each);
    if (!servers) return servers.error();
    plan.servers.insert(plan.servers.end(), servers->begin(), servers->end());
  }
  control::LoginHint announced;
  if (settings.scope.empty() && !plan.servers.empty()) {
    auto hint = announced_by(plan.servers.front(), client);
    if (!hint) return hint.error();
    announced = std::move(*hint);
    if (announced.issuer.empty() && settings.provider.empty()) {
      return Error{Cause::failed_precondition,
                   to_string(plan.servers.front()) +
                       " asks for no login: use it as you are; --scope SCOPE logs in all the same"};
    }
  }
  const bool is_announced = settings.provider.empty() && !announced.issuer.empty();
  plan.issuer = is_announced
                    ? announced.issuer
                    : client::issuer_of(settings.provider.empty() ? "globus" : settings.provider);
  if (const auto url = net::parse_url(plan.issuer); !url) {
    return Error{Cause::invalid_argument,
                 "--provider is globus, or an issuer: " + url.error().message};
  }
  plan.scope = settings.scope;
  if (plan.scope.empty() && plan.issuer == announced.issuer) {
    // Who asks for no scope asks for somebody who has logged in.
    plan.scope = announced.scope.empty() ? "openid" : announced.scope;
  }
  if (plan.scope.empty() && plan.issuer == client::globus().issuer) plan.scope = usual_scope;
  if (!is_one_word(plan.scope) || plan.scope.starts_with('-')) {
    return Error{Cause::invalid_argument,
                 "--scope is one word, which the facility tells you: what '" + plan.issuer +
                     "' calls the right to use its control server"};
  }
  const auto known = config->client_ids.find(plan.issuer);
  plan.client_id = settings.client_id;
  if (plan.client_id.empty() && known != config->client_ids.end()) plan.client_id = known->second;
  if (plan.client_id.empty()) {
    return Error{
        Cause::invalid_argument,
        "say --client-id ID: under which id this program is registered at '" + plan.issuer +
            "' as a native (public) client; or keep it in SCISTREAM_NATIVE_CLIENT_ID, or "
            "in config.toml as client_id of [provider." +
            (plan.issuer == client::globus().issuer ? "globus" : "\"" + plan.issuer + "\"") + "]"};
  }
  if (is_announced) {
    const auto store = client::TokenStore::of_user(client.state_directory);
    if (Status own = check_announced(store, *config, plan.issuer, plan.scope, plan.servers.front());
        !own)
      return own.error();
    std::fprintf(stderr, "%s takes logins of %s for %s\n", to_string(plan.servers.front()).c_str(),
                 printable(plan.issuer).c_str(), printable(plan.scope).c_str());
  }
  // Who renews it runs elsewhere.
  if (!settings.identity_ca.empty())
    plan.ca_file = std::filesystem::absolute(settings.identity_ca).string();
  return plan;
}

Status keep(const client::TokenStore& store, Login login, const std::vector<Endpoint>& servers) {
  {
    const auto lock = store.lock(login.issuer(), login.scope);
    if (!lock) return lock.error();
    // One that is damaged is none.
    const auto before = store.find(login.issuer(), login.scope);
    if (before && *before) login.servers = (*before)->servers;
    if (Status saved = store.save(login); !saved) return saved;
  }
  for (const Endpoint& each : servers)
    if (Status given = store.give(each, login.issuer(), login.scope); !given) return given;
  return {};
}

/// The logins that were asked about.
std::vector<Login> chosen(std::vector<Login> logins, const LoginSettings& settings,
                          const client::LoginConfig& config) {
  const auto is_host = [&](const Endpoint& server) {
    const auto with_port = parse_endpoint(settings.ip);
    return with_port ? client::canonical_server(*with_port) == server
                     : client::canonical_server({settings.ip, 0}).host == server.host;
  };
  const auto is_for_host = [&](const Login& each) {
    const bool is_named = std::any_of(each.servers.begin(), each.servers.end(), is_host);
    const auto is_configured = [&](const auto& entry) {
      return is_host(entry.first) && entry.second.scope == each.scope &&
             entry.second.issuer == each.issuer();
    };
    return is_named || std::any_of(config.servers.begin(), config.servers.end(), is_configured);
  };
  std::erase_if(logins, [&](const Login& each) {
    const bool has_scope = settings.scope.empty() || each.scope == settings.scope ||
                           client::full_scope(each.issuer(), each.scope) == settings.scope;
    return !has_scope || (!settings.ip.empty() && !is_for_host(each));
  });
  return logins;
}

/// Whether the provider has taken both tokens back; says it if not.
Status revoke(const Login& login) {
  OAuth oauth(client::OAuthOptions{.ca_file = login.ca_file});
  Status revoked;
  const auto take = [&](const Secret& token, OAuth::Kind kind) {
    if (token.empty()) return;
    const Status taken = oauth.revoke(login.provider, login.client_id, token, kind);
    if (!taken && revoked) revoked = taken;
  };
  take(login.tokens.refresh, OAuth::Kind::refresh);
  take(login.tokens.access, OAuth::Kind::access);
  if (!revoked) {
    std::fprintf(stderr, "the token is removed here, but good until it expires: %s\n",
                 printable(revoked.error().message).c_str());
  }
  return revoked;
}

}  // namespace

LoginCommands::LoginCommands(CLI::App& app, LoginSettings& login, ClientSettings& client)
    : login_(login),
      client_(client),
      logging_in_(app.add_subcommand("login", "Log in, to be known to control servers")),
      checking_(app.add_subcommand("check-auth", "Show as whom you are logged in, and where")),
      logging_out_(app.add_subcommand("logout", "Log out, and remove all tokens")) {
  for (CLI::App* command : {logging_in_, checking_, logging_out_})
    add_client_options(*command, client);
  logging_in_->add_option(
      "--scope", login.scope,
      std::string("What the facility says [what --s2cs says; with Globus ") + usual_scope + "]");
  logging_in_->add_option(
      "--provider", login.provider,
      "Who knows you: globus, or the issuer's address [what --s2cs says; globus]");
  logging_in_
      ->add_option("--client-id", login.client_id,
                   "Id under which this program is registered there, as a native client")
      ->envname("SCISTREAM_NATIVE_CLIENT_ID");
  logging_in_->add_option("--s2cs", login.s2cs,
                          "Control servers that this login is for, HOST:PORT; others get it "
                          "where --scope is said");
  logging_in_->add_flag("--device", login.device, "Log in with a browser of another device");
  logging_in_->add_flag("--no-browser", login.no_browser, "Open none");
  logging_in_
      ->add_option("--identity-ca", login.identity_ca,
                   "Certificates to trust at the provider, PEM [the system's]")
      ->envname("SCISTREAM_IDENTITY_CA");
  checking_->add_option("--ip", login.ip, "For this control server, HOST or HOST:PORT");
  checking_->add_option("--scope", login.scope, "For this scope");
  CLI::Option* scope = logging_out_->add_option("--scope", login.scope, "Of this scope only");
  logging_out_->add_flag("--all", login.all, "Of all, as without --scope")->excludes(scope);
}

const std::vector<std::string>& LoginCommands::names() {
  static const std::vector<std::string> all{"login", "check-auth", "logout"};
  return all;
}

bool LoginCommands::parsed() const {
  return logging_in_->parsed() || checking_->parsed() || logging_out_->parsed();
}

Status LoginCommands::run() {
  if (logging_in_->parsed()) return log_in(login_, client_);
  return checking_->parsed() ? check_auth(login_, client_) : log_out(login_, client_);
}

Status log_in(const LoginSettings& settings, ClientSettings& client) {
  choose_state_directory(client);
  auto plan = plan_of(settings, client);
  if (!plan) return plan.error();
  block_signals({SIGINT, SIGTERM, SIGHUP});
  // Nothing is half done before it is kept: what waits for the user, or for a terminal, just ends.
  const SignalWaiter waiter({SIGINT, SIGTERM, SIGHUP}, [](int) {
    const Error withdrawn{Cause::cancelled, "you are not logged in"};
    print_error("s2uc", withdrawn);
    std::_Exit(exit_code(withdrawn.cause));
  });
  OAuth oauth(client::OAuthOptions{.ca_file = plan->ca_file});
  auto provider = oauth.discover(plan->issuer);
  if (!provider) return provider.error();
  const LoginWish wish{*provider, plan->client_id,
                       client::full_scope(provider->issuer, plan->scope), settings.device,
                       settings.no_browser};
  auto tokens = tokens_by_user(oauth, wish, client.json ? stderr : stdout);
  if (!tokens) return tokens.error();
  Login login;
  login.provider = std::move(*provider);
  login.scope = plan->scope;
  login.client_id = plan->client_id;
  login.ca_file = plan->ca_file;
  login.tokens = std::move(*tokens);
  const auto store = client::TokenStore::of_user(client.state_directory);
  if (Status kept = keep(store, login, plan->servers); !kept) return kept;
  const auto now = store.find(login.issuer(), login.scope);
  if (now && *now) login = **now;
  if (store.has_keyring() && !login.is_sealed) {
    const Status trouble = store.keyring_trouble();
    std::fprintf(stderr, "%s; the login is in a file that only you can read\n",
                 trouble ? "the system keyring was in use by another command"
                         : printable(trouble.error().message).c_str());
  }
  if (client.json) {
    show(document_of(login));
  } else {
    std::printf("Logged in as %s; expires %s\n", printable(user_of(login)).c_str(),
                expiry_of(login).c_str());
  }
  return {};
}

Status check_auth(const LoginSettings& settings, ClientSettings& client) {
  choose_state_directory(client);
  const auto config = configuration();
  if (!config) return config.error();
  auto all = client::TokenStore::of_user(client.state_directory).all();
  const auto logins = chosen(std::move(all.logins), settings, *config);
  if (logins.empty()) {
    if (!all.damaged.empty()) return all.damaged.front();
    const std::string what = !settings.scope.empty() ? " for " + settings.scope
                             : !settings.ip.empty()  ? " for " + settings.ip
                                                     : std::string();
    const std::string scope = settings.scope.empty() ? "SCOPE" : settings.scope;
    return Error{Cause::unauthenticated,
                 "you are not logged in" + what + ": " + client::login_command("", scope)};
  }
  for (const Error& each : all.damaged) print_error("s2uc", each);
  json documents = json::array();
  std::vector<std::vector<std::string>> rows{{"SCOPE", "USER", "ISSUER", "S2CS", "EXPIRES"}};
  for (const Login& each : logins) {
    documents.push_back(document_of(each));
    rows.push_back({each.scope, user_of(each), each.issuer(),
                    each.servers.empty() ? "-" : listed(to_strings(each.servers)),
                    expiry_of(each)});
  }
  if (client.json) {
    show({{"logins", documents}});
  } else {
    std::fputs(table(rows, STDOUT_FILENO).c_str(), stdout);
  }
  if (std::any_of(logins.begin(), logins.end(), is_logged_in)) return {};
  const Login& first = logins.front();
  const Error expired{Cause::unauthenticated,
                      "the login for " + first.scope + " has expired; log in again: " +
                          client::login_command(first.issuer(), first.scope)};
  print_error("s2uc", expired);
  return already_reported(expired);
}

Status log_out(const LoginSettings& settings, ClientSettings& client) {
  choose_state_directory(client);
  const auto store = client::TokenStore::of_user(client.state_directory);
  json documents = json::array();
  Status unrevoked;
  auto all = store.all();
  for (const Login& each : chosen(std::move(all.logins), settings, {})) {
    // Who renews it at this moment must not bring it back.
    const auto lock = store.lock(each.issuer(), each.scope);
    if (!lock) return lock.error();
    const auto now = store.find(each.issuer(), each.scope);
    if (!now || !*now) continue;
    const auto removed = store.remove(each.issuer(), each.scope);
    if (!removed) return removed.error();
    const Status revoked = revoke(**now);
    documents.push_back(
        {{"scope", each.scope}, {"issuer", each.issuer()}, {"revoked", revoked.ok()}});
    // Where there is nobody who could take it back, all is done that can be.
    if (!revoked && revoked.error().cause != Cause::failed_precondition) unrevoked = revoked;
    if (!client.json)
      std::printf("Logged out of %s at %s\n", printable(each.scope).c_str(),
                  printable(each.issuer()).c_str());
  }
  // Of those that are damaged nothing is known but where they are.
  if (settings.scope.empty()) {
    if (Status removed = store.remove_all(); !removed) return removed;
    for (const Error& each : all.damaged)
      std::fprintf(stderr, "removed, and not revoked: %s\n", printable(each.message).c_str());
  }
  if (client.json) {
    show({{"logged_out", documents}});
  } else if (documents.empty()) {
    std::printf("You are not logged in%s\n",
                settings.scope.empty() ? "" : printable(" for " + settings.scope).c_str());
  }
  return unrevoked ? Status() : Status(already_reported(unrevoked.error()));
}

}  // namespace scistream::cli

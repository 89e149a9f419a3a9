#include "client/token_store.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>

#include "auth/claims.hpp"
#include "base/file.hpp"
#include "base/sealed.hpp"
#include "base/secret.hpp"

namespace scistream::client {

namespace {

using auth::text_in;
using auth::texts_in;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr const char* suffix = ".json";
constexpr const char* lock_suffix = ".lock";
/// The member of a file that holds all the others.
constexpr const char* sealed = "sealed";
/// A refresh is two requests of ten seconds at most.
constexpr std::chrono::seconds patience{30};
/// Whoever has the keyring may be typing its password, twice.
constexpr std::chrono::seconds keyring_patience{150};

struct Optional {
  const char* name;
  std::optional<net::Url> Provider::* url;
};
constexpr Optional optional_endpoints[] = {
    {"device_authorization", &Provider::device_authorization},
    {"revocation", &Provider::revocation},
    {"userinfo", &Provider::userinfo}};

std::string text_of(const Login& login) {
  const Provider& provider = login.provider;
  const Tokens& tokens = login.tokens;
  json endpoints{{"authorization", to_string(provider.authorization)},
                 {"token", to_string(provider.token)}};
  for (const auto& [name, url] : optional_endpoints)
    if (provider.*url) endpoints[name] = to_string(*(provider.*url));
  json document{{"issuer", provider.issuer},
                {"scope", login.scope},
                {"client_id", login.client_id},
                {"ca_file", login.ca_file},
                {"access_token", std::string(tokens.access.view())},
                {"refresh_token", std::string(tokens.refresh.view())},
                {"granted", tokens.scope},
                {"subject", tokens.subject},
                {"name", tokens.name},
                {"servers", to_strings(login.servers)},
                {"endpoints", std::move(endpoints)}};
  if (tokens.expires != system_clock::time_point::max())
    document["expires"] = system_clock::to_time_t(tokens.expires);
  std::string text = document.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  for (const char* secret : {"access_token", "refresh_token"}) {
    auto& value = document[secret].get_ref<std::string&>();
    wipe_bytes(value.data(), value.size());
  }
  return text;
}

Secret take_secret(json& document, const char* member) {
  const auto found = document.find(member);
  if (found == document.end() || !found->is_string()) return {};
  auto& text = found->get_ref<std::string&>();
  Secret secret{std::string_view(text)};
  wipe_bytes(text.data(), text.size());
  return secret;
}

std::optional<Login> parse(const std::string& text) {
  json document = json::parse(text, nullptr, false);
  if (!document.is_object()) return std::nullopt;
  Login login;
  Tokens& tokens = login.tokens;
  tokens.access = take_secret(document, "access_token");
  tokens.refresh = take_secret(document, "refresh_token");
  tokens.scope = text_in(document, "granted");
  tokens.subject = text_in(document, "subject");
  tokens.name = text_in(document, "name");
  if (document.contains("expires")) {
    const auto expires = auth::time_in(document, "expires");
    if (!expires) return std::nullopt;
    tokens.expires = *expires;
  }
  login.scope = text_in(document, "scope");
  login.client_id = text_in(document, "client_id");
  login.ca_file = text_in(document, "ca_file");
  for (const std::string& each : texts_in(document, "servers")) {
    auto server = parse_endpoint(each);
    if (!server) return std::nullopt;
    login.servers.push_back(std::move(*server));
  }
  Provider& provider = login.provider;
  provider.issuer = text_in(document, "issuer");
  const json endpoints = document.value("endpoints", json());
  if (!endpoints.is_object()) return std::nullopt;
  const auto authorization = net::parse_url(text_in(endpoints, "authorization"));
  const auto token = net::parse_url(text_in(endpoints, "token"));
  if (!authorization || !token) return std::nullopt;
  provider.authorization = *authorization;
  provider.token = *token;
  for (const auto& [name, url] : optional_endpoints) {
    if (!endpoints.contains(name)) continue;
    const auto parsed = net::parse_url(text_in(endpoints, name));
    if (!parsed) return std::nullopt;
    provider.*url = *parsed;
  }
  const bool is_whole =
      is_one_word(tokens.access.view()) && !provider.issuer.empty() && !login.scope.empty();
  return is_whole ? std::optional(std::move(login)) : std::nullopt;
}

/// What is sealed in the text of a file, if it is that.
std::optional<std::string> sealed_in(const std::string& text) {
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object() || !document.contains(sealed)) return std::nullopt;
  return text_in(document, sealed);
}

}  // namespace

bool Login::is_for(const Endpoint& server) const {
  return std::find(servers.begin(), servers.end(), canonical_server(server)) != servers.end();
}

void Login::add(const Endpoint& server) {
  if (!is_for(server)) servers.push_back(canonical_server(server));
}

void Login::drop(const Endpoint& server) { std::erase(servers, canonical_server(server)); }

TokenStore::TokenStore(const std::filesystem::path& state_directory,
                       std::shared_ptr<Keyring> keyring)
    : folder_(state_directory.empty() ? state_directory : state_directory / "logins"),
      keyring_(std::move(keyring)) {}

TokenStore TokenStore::of_user(const std::filesystem::path& state_directory) {
  return {state_directory, SystemKeyring::for_folder(state_directory)};
}

Result<Login> TokenStore::read(const std::filesystem::path& path) const {
  auto text = read_private_file(path, "login in");
  if (!text) return text.error();
  const Wiped wiped(*text);
  const Error damaged{Cause::failure, "the login in '" + path.string() +
                                          "' is damaged: remove the file and log in again"};
  const auto closed = sealed_in(*text);
  if (closed) {
    const Result<Secret> key =
        keyring_ ? keyring_->find()
                 : Result<Secret>(Error{Cause::unavailable, "there is no system keyring here"});
    if (!key || key->empty()) {
      const std::string why = key ? "that is locked, or another one" : key.error().message;
      return Error{Cause::failed_precondition,
                   "the login in '" + path.string() +
                       "' is sealed with a key of the system keyring, and " + why +
                       ": use it where that keyring is, or log in again"};
    }
    const auto opened = unseal(*key, path.filename().string(), *closed);
    if (!opened) return damaged;
    *text = opened->view();
  }
  auto login = parse(*text);
  if (!login) return damaged;
  login->is_sealed = closed.has_value();
  return std::move(*login);
}

std::filesystem::path TokenStore::file_of(const std::string& issuer, const std::string& scope,
                                          const char* ending) const {
  // No issuer has a line break in it, so no two of them share a file.
  return folder_ / (to_hex(sha256(issuer + "\n" + scope)) + ending);
}

Status TokenStore::make_folder() const {
  if (folder_.empty())
    return Error{Cause::failed_precondition, "without a state folder no login can be kept"};
  return make_private_directory(folder_);
}

Result<std::optional<Login>> TokenStore::find(const std::string& issuer,
                                              const std::string& scope) const {
  if (folder_.empty()) return std::optional<Login>();
  auto login = read(file_of(issuer, scope, suffix));
  if (!login && login.error().cause == Cause::not_found) return std::optional<Login>();
  if (!login) return login.error();
  return std::optional(std::move(*login));
}

namespace {

/// The only one; `several` says what to do if it is not.
template <class Fits>
Result<std::optional<Login>> the_one(TokenStore::All all, Fits fits, const char* several) {
  std::optional<Login> found;
  for (Login& each : all.logins) {
    if (!fits(each)) continue;
    if (found) {
      return Error{Cause::failed_precondition, "there are logins for '" + found->scope + "' at '" +
                                                   found->issuer() + "' and for '" + each.scope +
                                                   "' at '" + each.issuer() + "': " + several};
    }
    found = std::move(each);
  }
  // Who has a login must not become nobody because it cannot be read.
  if (!found && !all.damaged.empty()) return all.damaged.front();
  return found;
}

}  // namespace

Result<std::optional<Login>> TokenStore::find(const std::string& scope) const {
  return the_one(
      all(),
      [&scope](const Login& each) {
        return each.scope == scope || full_scope(each.issuer(), each.scope) == scope;
      },
      "log out of them (s2uc logout --scope SCOPE) and into one");
}

Result<std::optional<Login>> TokenStore::find(const Endpoint& server) const {
  return the_one(
      all(), [&server](const Login& each) { return each.is_for(server); },
      "say which with --scope");
}

TokenStore::All TokenStore::all() const {
  All found;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, none)) {
    if (entry.path().extension() != suffix) continue;
    auto login = read(entry.path());
    if (login) {
      found.logins.push_back(std::move(*login));
    } else if (login.error().cause != Cause::not_found) {
      found.damaged.push_back(login.error());
    }
  }
  std::sort(found.logins.begin(), found.logins.end(), [](const Login& a, const Login& b) {
    return std::pair(a.issuer(), a.scope) < std::pair(b.issuer(), b.scope);
  });
  return found;
}

Result<TokenStore::Lock> TokenStore::lock(const std::string& issuer,
                                          const std::string& scope) const {
  if (Status made = make_folder(); !made) return made.error();
  // It stays when the login goes: who waits for it must not wait for another file than who comes.
  return lock_file(file_of(issuer, scope, lock_suffix), patience);
}

Result<TokenStore::Lock> TokenStore::lock_file(const std::filesystem::path& path,
                                               std::chrono::seconds limit) const {
  const std::string what = "cannot lock '" + path.string() + "'";
  net::Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file) return errno_error(what, errno);
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return errno_error(what, errno);
    if (std::chrono::steady_clock::now() > deadline) {
      return Error{Cause::timeout, what + ": another command holds it for " +
                                       std::to_string(limit.count()) + " s already"};
    }
    std::this_thread::sleep_for(milliseconds(20));
  }
  return Lock(std::move(file));
}

Status TokenStore::save(const Login& login) const {
  if (Status made = make_folder(); !made) return made;
  std::string text = text_of(login);
  const Wiped wiped(text);
  const auto path = file_of(login.issuer(), login.scope, suffix);
  const auto key = sealing_key();
  if (!key || key->empty()) return write_private_file(path, text);
  const json closed{{sealed, seal(*key, path.filename().string(), text)}};
  return write_private_file(path, closed.dump() + "\n");
}

Result<Secret> TokenStore::sealing_key() const {
  if (!keyring_) return Secret();
  auto key = keyring_->find();
  if (!key || !key->empty()) return key;
  // Of two that make one, the other's login could not be opened any more.
  const auto held = lock_file(folder_ / (std::string("keyring") + lock_suffix), keyring_patience);
  if (!held) return held.error();
  key = keyring_->find();
  if (!key || !key->empty()) return key;
  // One that is locked has nothing to show either: its key must not be replaced.
  if (has_sealed()) {
    return Error{Cause::unavailable,
                 "the system keyring cannot be used: it is locked, or not the one that sealed the "
                 "logins that are here"};
  }
  return keyring_->make();
}

bool TokenStore::has_sealed() const {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, none)) {
    if (entry.path().extension() != suffix) continue;
    auto text = read_private_file(entry.path(), "login in");
    if (!text) continue;
    const Wiped wiped(*text);
    if (sealed_in(*text)) return true;
  }
  return false;
}

Status TokenStore::keyring_trouble() const {
  if (!keyring_) return {};
  const auto key = sealing_key();
  return key ? Status() : Status(key.error());
}

Status TokenStore::give(const Endpoint& server, const std::string& issuer,
                        const std::string& scope) const {
  const auto is_it = [&](const Login& each) {
    return each.issuer() == issuer && each.scope == scope;
  };
  for (const Login& each : all().logins) {
    if (is_it(each) == each.is_for(server)) continue;
    const auto held = lock(each.issuer(), each.scope);
    if (!held) return held.error();
    auto now = find(each.issuer(), each.scope);
    if (!now) return now.error();
    if (!*now) continue;
    is_it(each) ? (*now)->add(server) : (*now)->drop(server);
    if (Status saved = save(**now); !saved) return saved;
  }
  return {};
}

Result<bool> TokenStore::remove(const std::string& issuer, const std::string& scope) const {
  if (folder_.empty()) return false;
  const auto path = file_of(issuer, scope, suffix);
  std::error_code failed;
  const bool was = std::filesystem::remove(path, failed);
  if (failed) return errno_error("cannot remove '" + path.string() + "'", failed.value());
  return was;
}

Status TokenStore::remove_all() const {
  Status status;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, none)) {
    if (entry.path().extension() != suffix) continue;
    std::error_code failed;
    std::filesystem::remove(entry.path(), failed);
    if (failed)
      status = errno_error("cannot remove '" + entry.path().string() + "'", failed.value());
  }
  return status;
}

}  // namespace scistream::client

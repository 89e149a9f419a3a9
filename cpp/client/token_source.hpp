#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "base/secret.hpp"
#include "client/login_config.hpp"
#include "client/oauth.hpp"
#include "client/token_store.hpp"

namespace scistream::client {

/// Where a client's tokens come from.
struct TokenOptions {
  Secret token;                            ///< For every server; empty: none.
  std::filesystem::path token_file;        ///< The same, in a file that others may replace.
  std::filesystem::path state_directory;   ///< Of the logins; empty: there are none.
  std::shared_ptr<Keyring> keyring;        ///< That these are sealed with; null: they are not.
  std::filesystem::path config_directory;  ///< Of `config.toml`; empty: none.
  LoginConfig::Workflow workflow{};        ///< Over that of `config.toml`.
  /// Its `ca_file` is for the workflow's provider; a login has its own.
  OAuthOptions oauth{};
};

/// As the environment says: SCISTREAM_TOKEN, SCISTREAM_TOKEN_FILE, SCISTREAM_WORKFLOW_CLIENT_ID,
/// SCISTREAM_WORKFLOW_CLIENT_SECRET_FILE, SCISTREAM_WORKFLOW_ISSUER, SCISTREAM_IDENTITY_CA; the
/// folder of `config.toml`; and the logins in a state folder, with the system's keyring.
TokenOptions token_options_of_user(const std::filesystem::path& state_directory);

/// The command that makes a login, for messages.
std::string login_command(const std::string& issuer, const std::string& scope);

/// Which token goes to which control server. A token for one service is worth something to whoever
/// gets it, so a server gets one only where the user has said so: by `--scope`, by
/// `s2uc login --s2cs`, or in `config.toml`; what a server says of itself counts for nothing.
/// Blocks while it asks providers and other commands. Any thread.
class TokenSource {
 public:
  explicit TokenSource(TokenOptions options);

  /// The token for `server`; empty if there is none for it. `scope` is what the user asks for with
  /// `--scope`, and is remembered for this server; empty: nothing. A token that is about to expire
  /// is renewed before. `unauthenticated` says how to log in where there is no login, or no longer;
  /// `unavailable` if an expired one cannot be renewed because its provider is away.
  Result<Secret> token_for(const Endpoint& server, const std::string& scope = "");

 private:
  Result<Secret> token_in_file();
  Result<Secret> token_of_login(const Endpoint& server, const std::string& scope,
                                const LoginConfig& config);
  Result<Login> renewed(Login login);
  Result<Secret> token_of_workflow(const LoginConfig::Workflow& workflow, const std::string& scope);
  OAuth& oauth(const std::string& ca_file);
  [[nodiscard]] bool lasts(const Tokens& tokens) const;
  [[nodiscard]] bool is_good(const Tokens& tokens) const;

  TokenOptions options_;
  const TokenStore store_;

  std::mutex pipe_mutex_;  ///< Of this one.
  Secret of_pipe_;         ///< A pipe can be read once only; files are read every time.

  std::mutex workflow_mutex_;  ///< Of these two.
  std::optional<Provider> workflow_provider_;
  std::map<std::string, Tokens> of_workflow_;  ///< By scope; never on disk.

  std::mutex oauth_mutex_;                               ///< Of this one.
  std::map<std::string, std::unique_ptr<OAuth>> oauth_;  ///< By file of authorities.
};

}  // namespace scistream::client

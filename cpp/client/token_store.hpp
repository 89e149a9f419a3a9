#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "client/keyring.hpp"
#include "client/oauth.hpp"
#include "net/fd.hpp"

namespace scistream::client {

/// That a user has logged in at a provider for a scope, and all that it takes to stay so.
struct Login {
  Provider provider;
  std::string scope;  ///< As the user says it.
  std::string client_id;
  std::string ca_file;  ///< Whom to trust at the provider, PEM; empty: as the system does.
  Tokens tokens;
  /// The control servers that the token is for, as the user said: no other gets it unasked.
  std::vector<Endpoint> servers;
  bool is_sealed = false;  ///< Its file cannot be read without the user's keyring.

  [[nodiscard]] const std::string& issuer() const noexcept { return provider.issuer; }
  [[nodiscard]] bool is_for(const Endpoint& server) const;
  void add(const Endpoint& server);
  void drop(const Endpoint& server);
};

/// The logins of a user, one file each in the folder `logins` of the state folder, readable by the
/// user alone and replaced in one step; several processes may use them at once. Where the user has
/// a keyring they are sealed with a key that it keeps. Nothing else knows that they are files. Any
/// thread. No error repeats what is in one.
class TokenStore {
 public:
  /// An empty folder keeps none; without a keyring the files are as they are.
  TokenStore(const std::filesystem::path& state_directory, std::shared_ptr<Keyring> keyring);
  /// With the system's keyring, where there is one.
  static TokenStore of_user(const std::filesystem::path& state_directory);

  [[nodiscard]] Result<std::optional<Login>> find(const std::string& issuer,
                                                  const std::string& scope) const;
  /// Of whichever provider; `failed_precondition` if there are several.
  [[nodiscard]] Result<std::optional<Login>> find(const std::string& scope) const;
  /// The login that is for this server.
  [[nodiscard]] Result<std::optional<Login>> find(const Endpoint& server) const;

  struct All {
    std::vector<Login> logins;   ///< By issuer and scope.
    std::vector<Error> damaged;  ///< One for each file that is none.
  };
  [[nodiscard]] All all() const;

  /// Keeps others from changing a login while it lives; reading goes on.
  class Lock {
   public:
    explicit Lock(net::Fd file) : file_(std::move(file)) {}

   private:
    net::Fd file_;
  };
  /// Waits while another process, or thread, has it; `timeout` after half a minute. Whoever changes
  /// a login takes it, and reads the login again then.
  [[nodiscard]] Result<Lock> lock(const std::string& issuer, const std::string& scope) const;

  [[nodiscard]] Status save(const Login& login) const;
  [[nodiscard]] bool has_keyring() const { return keyring_ != nullptr; }
  /// Why what is saved now would not be sealed, where there is a keyring.
  [[nodiscard]] Status keyring_trouble() const;
  /// From now on the server gets the token of this login and of no other: the last word counts.
  [[nodiscard]] Status give(const Endpoint& server, const std::string& issuer,
                            const std::string& scope) const;
  /// Whether there was one.
  [[nodiscard]] Result<bool> remove(const std::string& issuer, const std::string& scope) const;
  /// All files, damaged ones as well.
  [[nodiscard]] Status remove_all() const;

 private:
  [[nodiscard]] std::filesystem::path file_of(const std::string& issuer, const std::string& scope,
                                              const char* suffix) const;
  [[nodiscard]] Status make_folder() const;
  [[nodiscard]] Result<Lock> lock_file(const std::filesystem::path& path,
                                       std::chrono::seconds limit) const;
  /// Whether one of the logins here is.
  [[nodiscard]] bool has_sealed() const;
  /// `not_found` if there is no such file.
  [[nodiscard]] Result<Login> read(const std::filesystem::path& path) const;
  /// The one that there is, or a new one.
  [[nodiscard]] Result<Secret> sealing_key() const;

  const std::filesystem::path folder_;
  const std::shared_ptr<Keyring> keyring_;
};

}  // namespace scistream::client

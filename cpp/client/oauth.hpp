#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/secret.hpp"
#include "client/provider.hpp"
#include "net/http_client.hpp"
#include "net/io_threads.hpp"
#include "net/url.hpp"

namespace scistream::client {

/// What a login gives.
struct Tokens {
  Secret access;
  Secret refresh;  ///< Empty: it cannot be renewed.
  /// The provider's word; time_point::max() where it says nothing.
  std::chrono::system_clock::time_point expires = std::chrono::system_clock::time_point::max();
  std::string scope;    ///< As granted.
  std::string subject;  ///< Who it is; empty where the provider did not say.
  std::string name;     ///< The same, for people.
};

/// One login by way of a browser, from the address that it opens to the code that comes back.
struct Authorization {
  std::string client_id;
  std::string scope;     ///< In full (full_scope).
  std::string redirect;  ///< Where the code goes.
  std::string state;     ///< Must come back with it.
  std::string nonce;     ///< Must be in the id_token.
  Secret verifier;       ///< Shows who asked for the code (RFC 7636).
};

/// With a state, a nonce and a verifier of its own.
Authorization new_authorization(std::string client_id, std::string scope, std::string redirect);
/// What to open in a browser.
std::string address_of(const Provider& provider, const Authorization& authorization);

/// A login on another device (RFC 8628).
struct DeviceCode {
  Secret code;
  std::string user_code;
  std::string address;       ///< Where the user types `user_code`.
  std::string full_address;  ///< The same with the code in it; empty: none.
  std::chrono::system_clock::time_point expires;
  std::chrono::seconds interval{5};
};

struct OAuthOptions {
  std::string ca_file;  ///< Whom to trust, PEM; empty: those whom the system trusts.
  std::chrono::milliseconds limit{10'000};  ///< Of every request.
  /// Between two questions of the device flow; empty: sleeps.
  std::function<void(std::chrono::milliseconds)> sleep{};
  std::function<std::chrono::system_clock::time_point()> now{};  ///< Empty: the system's.
};

struct Asked;
struct Granted;

/// A user's side of OAuth 2.0 and OpenID Connect: a native client (RFC 8252), and one of a service.
/// Every function blocks until its answer is there, within the limit of each request it makes, and
/// may be called from any thread. Owns the thread that requests run on, from the first one on.
/// Errors name the provider and repeat no token, code, secret or verifier.
class OAuth {
 public:
  explicit OAuth(OAuthOptions options = {});

  /// The provider of an issuer, from its `/.well-known/openid-configuration`. `unavailable` if
  /// there is none, or if it is another's.
  Result<Provider> discover(const std::string& issuer);

  /// A code for tokens, and who the user is.
  Result<Tokens> exchange(const Provider& provider, const Authorization& authorization,
                          const Secret& code);
  /// Newer tokens, of the same user. `unauthenticated` once the provider takes the old ones no
  /// more.
  Result<Tokens> refresh(const Provider& provider, const std::string& client_id,
                         const std::string& scope, const Tokens& old);

  Result<DeviceCode> device_code(const Provider& provider, const std::string& client_id,
                                 const std::string& scope);
  /// Blocks until the user has agreed. `permission_denied` if not, `timeout` if not in time.
  Result<Tokens> wait_for_user(const Provider& provider, const std::string& client_id,
                               const std::string& scope, const DeviceCode& device);

  /// Of a service, which is its own user.
  Result<Tokens> of_client(const Provider& provider, const std::string& client_id,
                           const Secret& client_secret, const std::string& scope);

  enum class Kind { access, refresh };
  /// Makes a token worthless (RFC 7009). `failed_precondition` where the provider cannot.
  Status revoke(const Provider& provider, const std::string& client_id, const Secret& token,
                Kind kind);

  [[nodiscard]] std::chrono::system_clock::time_point now() const { return options_.now(); }

 private:
  using Fields = std::vector<net::FormField>;

  Result<net::HttpResponse> send(net::HttpRequest request);
  /// Who shows its own secret in the header of a request (client_secret_basic).
  struct Service {
    const std::string& client_id;
    const Secret& secret;
  };

  /// A form. All but HTTP 200 is an error, whose name among the provider's own goes to `error`.
  Result<net::HttpResponse> post(const net::Url& where, const Fields& fields,
                                 const Service* service = nullptr, std::string* error = nullptr);
  Result<Granted> grant(const Provider& provider, const Asked& asked, const Fields& fields,
                        const Service* service = nullptr, std::string* error = nullptr);
  /// Asks who the user is, where the provider can tell.
  Tokens with_user(const Provider& provider, Granted granted);

  OAuthOptions options_;
  std::mutex mutex_;  ///< Of what the first request makes.
  std::unique_ptr<net::IoThreads> threads_;
  std::optional<net::HttpClient> client_;
};

}  // namespace scistream::client

#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "auth/authenticator.hpp"
#include "auth/claims.hpp"
#include "auth/key_set.hpp"
#include "base/clock.hpp"
#include "base/secret.hpp"
#include "net/http_client.hpp"

namespace scistream::auth {

/// Checks tokens that one issuer has signed with the keys that it publishes (OpenID Connect
/// Discovery 1.0; RFC 7517). Asks for them when the first token comes, when they are old, and when
/// a token names one that is not among them; never more often than its pauses say, whatever tokens
/// strangers make up. Lives on the thread of its client.
class OpenIdIssuer final : public Authenticator {
 public:
  /// Time of the day, which tokens expire by.
  using Now = std::function<std::chrono::system_clock::time_point()>;

  /// `expected.issuer` is where its documents are; `invalid_argument` if that is no address.
  static Result<std::unique_ptr<OpenIdIssuer>> make(net::HttpClient client, Expected expected,
                                                    const Clock& clock,
                                                    Now now = &std::chrono::system_clock::now);

  ~OpenIdIssuer() override;
  OpenIdIssuer(const OpenIdIssuer&) = delete;
  OpenIdIssuer& operator=(const OpenIdIssuer&) = delete;

  void identify(const Secret& token, Done done) override;

  /// Between two looks for newer keys.
  static constexpr std::chrono::seconds refresh_pause{30};
  /// After one that has failed.
  static constexpr std::chrono::seconds failure_pause{5};
  /// Keys are used for as long as their document allows, within these.
  static constexpr std::chrono::minutes least_age{5};
  static constexpr std::chrono::hours most_age{1};
  /// And for so long after that, while the issuer is away.
  static constexpr std::chrono::hours grace{1};
  /// So many tokens wait for keys; more are told to try again.
  static constexpr std::size_t most_waiting = 256;

 private:
  OpenIdIssuer(net::HttpClient client, net::Url documents, Expected expected, const Clock& clock,
               Now now);

  /// By the keys that there are, if they may be used still.
  [[nodiscard]] Result<Identity> check(const Secret& token) const;
  [[nodiscard]] bool has_good_keys() const;
  void fetch();
  void fetch_keys(const std::string& configuration);
  void take_keys(const net::HttpResponse& answer);
  void fail(Error why);
  void answer_waiting();
  [[nodiscard]] Error of_unknown_key() const;
  [[nodiscard]] Error answers_strangely(unsigned status) const;

  const net::HttpClient client_;
  const net::Url documents_;
  const Expected expected_;
  const Clock& clock_;
  const Now now_;
  std::optional<KeySet> keys_;
  Clock::time_point good_until_;
  Clock::time_point next_fetch_;
  std::optional<Error> failure_;  ///< Of the last look.
  bool fetches_ = false;
  std::chrono::steady_clock::time_point began_;  ///< The look under way.
  std::vector<std::pair<Secret, Done>> waiting_;
  const std::shared_ptr<int> alive_ = std::make_shared<int>(0);  ///< What is late looks at it.
};

}  // namespace scistream::auth

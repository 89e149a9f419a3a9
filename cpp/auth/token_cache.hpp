#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "auth/authenticator.hpp"
#include "base/clock.hpp"

namespace scistream::auth {

/// Remembers for a while what another authenticator has found out, and asks it once for all who ask
/// at the same time. Keeps the hashes of tokens, never tokens. What could not be found out is not
/// remembered. Lives on one thread, as the other one does.
class TokenCache final : public Authenticator {
 public:
  /// Time of the day, which tokens expire by.
  using Now = std::function<std::chrono::system_clock::time_point()>;

  TokenCache(std::unique_ptr<Authenticator> source, const Clock& clock,
             Now now = &std::chrono::system_clock::now);
  ~TokenCache() override;

  void identify(const Secret& token, Done done) override;
  /// Who waits, or asks from now on, is told that the server is going away.
  void end();
  struct Remembered {
    std::optional<Result<Identity>> who;  ///< If it need not be asked for.
    bool was_good = false;                ///< When it was asked for last, which may be a while ago.
    bool is_asked_for = false;            ///< Now.
  };
  /// What is remembered of it, without asking anybody.
  [[nodiscard]] Remembered remembered(const Secret& token);

  /// A good token is asked for again after that, or once it has expired.
  static constexpr std::chrono::seconds lasts{30};
  /// And a bad one after that.
  static constexpr std::chrono::seconds bad_lasts{5};
  /// So many of each kind are remembered; the oldest makes room. Bad ones take no room from good
  /// ones, since strangers can make up as many as they like.
  static constexpr std::size_t most = 10'000;
  /// So many tokens are asked for at a time; more are told to try again.
  static constexpr std::size_t most_waiting = 64;

 private:
  using Hash = std::array<std::uint8_t, 32>;
  struct Known {
    Result<Identity> who;
    Clock::time_point until;
    std::uint64_t number;
  };
  /// What is known of either good or bad tokens.
  struct Shelf {
    std::map<Hash, Known> known;
    std::map<std::uint64_t, Hash> by_age;

    void keep(const Hash& hash, Known what);
    void drop(std::map<Hash, Known>::iterator which);
  };

  static Hash hash_of(const Secret& token);
  std::optional<Result<Identity>> known(const Hash& hash);
  void found(const Hash& hash, const Result<Identity>& who);
  void remember(const Hash& hash, const Result<Identity>& who);

  const std::unique_ptr<Authenticator> source_;
  const Clock& clock_;
  const Now now_;
  Shelf good_;
  Shelf bad_;
  std::uint64_t last_number_ = 0;
  std::map<Hash, std::vector<Done>> waiting_;
  bool has_ended_ = false;
  const std::shared_ptr<int> alive_ = std::make_shared<int>(0);  ///< What is late looks at it.
};

}  // namespace scistream::auth

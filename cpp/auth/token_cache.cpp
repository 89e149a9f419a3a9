#include "auth/token_cache.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <utility>

namespace scistream::auth {

TokenCache::TokenCache(std::unique_ptr<Authenticator> source, const Clock& clock, Now now)
    : source_(std::move(source)), clock_(clock), now_(std::move(now)) {}

TokenCache::~TokenCache() = default;

void TokenCache::identify(const std::string& token, Done done) {
  Hash hash;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), hash.data());
  if (const auto known = known_.find(hash); known != known_.end()) {
    if (known->second.until > clock_.now()) return done(known->second.who);
    by_age_.erase(known->second.number);
    known_.erase(known);
  }
  auto& waiting = waiting_[hash];
  waiting.push_back(std::move(done));
  if (waiting.size() > 1) return;
  source_->identify(token,
                    [this, hash, alive = std::weak_ptr(alive_)](const Result<Identity>& who) {
                      if (!alive.expired()) found(hash, who);
                    });
}

void TokenCache::found(const Hash& hash, const Result<Identity>& who) {
  remember(hash, who);
  // Whoever is told may ask again, or end this.
  const auto waiting = std::exchange(waiting_[hash], {});
  waiting_.erase(hash);
  for (const Done& each : waiting) each(who);
}

void TokenCache::remember(const Hash& hash, const Result<Identity>& who) {
  Clock::duration time = bad_lasts;
  if (who) {
    time = std::min<Clock::duration>(
        lasts, std::chrono::duration_cast<Clock::duration>(who->expires - now_()));
  } else if (who.error().cause != Cause::unauthenticated &&
             who.error().cause != Cause::permission_denied) {
    return;
  }
  if (time <= Clock::duration::zero()) return;
  if (known_.size() >= most) {
    known_.erase(by_age_.begin()->second);
    by_age_.erase(by_age_.begin());
  }
  known_.insert_or_assign(hash, Known{who, clock_.now() + time, ++last_number_});
  by_age_[last_number_] = hash;
}

}  // namespace scistream::auth

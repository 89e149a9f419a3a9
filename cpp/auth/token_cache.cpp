#include "auth/token_cache.hpp"

#include <algorithm>
#include <utility>

namespace scistream::auth {

TokenCache::TokenCache(std::unique_ptr<Authenticator> source, const Clock& clock, Now now)
    : source_(std::move(source)), clock_(clock), now_(std::move(now)) {}

namespace {

Error going_away() { return {Cause::unavailable, "the server is going away"}; }

}  // namespace

TokenCache::~TokenCache() { end(); }

void TokenCache::end() {
  has_ended_ = true;
  for (const auto& [hash, waiting] : std::exchange(waiting_, {}))
    for (const Done& each : waiting) each(going_away());
}

void TokenCache::Shelf::keep(const Hash& hash, Known what) {
  if (const auto before = known.find(hash); before != known.end()) drop(before);
  if (known.size() >= most) drop(known.find(by_age.begin()->second));
  by_age[what.number] = hash;
  known.emplace(hash, std::move(what));
}

void TokenCache::Shelf::drop(std::map<Hash, Known>::iterator which) {
  by_age.erase(which->second.number);
  known.erase(which);
}

TokenCache::Hash TokenCache::hash_of(const Secret& token) { return sha256(token.view()); }

TokenCache::Remembered TokenCache::remembered(const Secret& token) {
  const Hash hash = hash_of(token);
  return {known(hash), good_.known.contains(hash), waiting_.contains(hash)};
}

std::optional<Result<Identity>> TokenCache::known(const Hash& hash) {
  for (Shelf* shelf : {&good_, &bad_}) {
    const auto found = shelf->known.find(hash);
    if (found == shelf->known.end()) continue;
    if (found->second.until > clock_.now()) return found->second.who;
    // That it was good once is worth knowing.
    if (shelf == &bad_) shelf->drop(found);
  }
  return std::nullopt;
}

void TokenCache::identify(const Secret& token, Done done) {
  if (has_ended_) return done(going_away());
  const Hash hash = hash_of(token);
  if (const auto remembered = known(hash)) return done(*remembered);
  if (waiting_.size() >= most_waiting && !waiting_.contains(hash))
    return done(Error{Cause::exhausted, "too many tokens are being checked; try again"});
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
  const auto entry = waiting_.extract(hash);
  if (entry.empty()) return;
  // Whoever is told may ask again, or end this.
  const auto waiting = entry.mapped();
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
  if (!who) {
    if (const auto before = good_.known.find(hash); before != good_.known.end()) good_.drop(before);
  }
  if (time <= Clock::duration::zero()) return;
  (who ? good_ : bad_).keep(hash, Known{who, clock_.now() + time, ++last_number_});
}

}  // namespace scistream::auth

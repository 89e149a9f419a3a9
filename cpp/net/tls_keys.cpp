#include "net/tls_keys.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace scistream::net {

namespace {

constexpr std::size_t identity_size = 16;

}  // namespace

PreSharedKey pre_shared_key(const Secret& data_key, Ciphersuite suite) {
  PreSharedKey psk;
  psk.suite = suite;
  psk.key = digest_size(suite) == data_key.size()
                ? data_key
                : hkdf(digest_name(suite), data_key, "scistream data key", digest_size(suite));
  psk.identity =
      to_hex(hkdf(digest_name(suite), psk.key, "scistream key identity", identity_size).bytes());
  return psk;
}

KeyRing::KeyRing(std::vector<Ciphersuite> suites, const Clock& clock)
    : suites_(std::move(suites)), clock_(clock) {}

void KeyRing::replace(const Secret& data_key) {
  Generation fresh;
  for (const Ciphersuite suite : suites_) {
    const bool known = std::any_of(fresh.begin(), fresh.end(), [suite](const PreSharedKey& key) {
      return std::strcmp(digest_name(key.suite), digest_name(suite)) == 0;
    });
    if (!known) fresh.push_back(pre_shared_key(data_key, suite));
  }
  const std::lock_guard lock(mutex_);
  if (!key_.empty() && key_ == data_key) return;
  key_ = data_key;
  previous_ = std::exchange(present_, std::move(fresh));
  previous_until_ = clock_.now() + overlap;
}

void KeyRing::clear() {
  const std::lock_guard lock(mutex_);
  key_ = Secret();
  present_.clear();
  previous_.clear();
}

bool KeyRing::previous_is_valid() const {
  return !previous_.empty() && clock_.now() < previous_until_;
}

std::optional<PreSharedKey> KeyRing::present() const {
  const std::lock_guard lock(mutex_);
  return present_.empty() ? std::nullopt : std::optional(present_.front());
}

std::optional<PreSharedKey> KeyRing::previous() const {
  const std::lock_guard lock(mutex_);
  return previous_is_valid() ? std::optional(previous_.front()) : std::nullopt;
}

std::optional<PreSharedKey> KeyRing::find(std::string_view identity) const {
  const std::lock_guard lock(mutex_);
  for (const PreSharedKey& key : present_) {
    if (equal_in_constant_time(key.identity, identity)) return key;
  }
  if (!previous_is_valid()) return std::nullopt;
  for (const PreSharedKey& key : previous_) {
    if (equal_in_constant_time(key.identity, identity)) return key;
  }
  return std::nullopt;
}

void KeyRing::used(std::string_view identity) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(present_.begin(), present_.end(), [&](const PreSharedKey& key) {
    return key.identity == identity;
  });
  if (found == present_.end()) return;
  std::rotate(present_.begin(), found, found + 1);
  previous_.clear();
}

std::vector<PreSharedKey> KeyRing::offers() const {
  const std::lock_guard lock(mutex_);
  Generation all = present_;
  if (previous_is_valid()) all.insert(all.end(), previous_.begin(), previous_.end());
  return all;
}

}  // namespace scistream::net

#include "relay/handshake_gate.hpp"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

namespace scistream::relay {

double HandshakeGate::tokens(const Peer& peer, Clock::time_point now) {
  const std::chrono::duration<double> since = now - peer.at;
  return std::min(burst, peer.tokens + since.count() * per_second);
}

bool HandshakeGate::admits(const std::string& address, Clock::time_point now) const {
  const auto found = peers_.find(address);
  return found == peers_.end() || tokens(found->second, now) >= 1;
}

std::optional<std::uint64_t> HandshakeGate::begin(std::uint64_t id, const std::string& address,
                                                  Clock::time_point now) {
  trying_.push_back({id, address, now});
  if (trying_.size() <= most_at_once_) return std::nullopt;
  const Place place = makes_room(now);
  if (place == trying_.end()) return std::nullopt;
  const std::uint64_t goes = place->id;
  trying_.erase(place);
  return goes;
}

HandshakeGate::Place HandshakeGate::makes_room(Clock::time_point now) {
  const auto slow = std::find_if(trying_.begin(), trying_.end(),
                                 [this](const Trying& each) { return !is_good(each); });
  if (slow != trying_.end() && now - slow->since > patience) return slow;
  if (trying_.size() <= 2 * most_at_once_) return trying_.end();
  if (slow != trying_.end()) return first_of_the_busiest();
  return trying_.size() <= 8 * most_at_once_ ? trying_.end() : trying_.begin();
}

HandshakeGate::Place HandshakeGate::first_of_the_busiest() {
  std::map<std::string_view, std::size_t> counts;
  for (const Trying& each : trying_)
    if (!is_good(each)) ++counts[each.address];
  const auto busiest =
      std::max_element(counts.begin(), counts.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return std::find_if(trying_.begin(), trying_.end(),
                      [&](const Trying& each) { return each.address == busiest->first; });
}

void HandshakeGate::end(std::uint64_t id) {
  const auto found = std::find_if(trying_.begin(), trying_.end(),
                                  [id](const Trying& each) { return each.id == id; });
  if (found != trying_.end()) trying_.erase(found);
}

namespace {

/// Makes room in what is remembered, where `when` says how long ago each was heard of.
template <class Known, class When>
void forget_one(Known& known, std::size_t most, When when) {
  if (known.size() < most) return;
  known.erase(std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
    return when(a.second) < when(b.second);
  }));
}

}  // namespace

HandshakeGate::Report HandshakeGate::failed(const std::string& address, Clock::time_point now) {
  if (!peers_.contains(address))
    forget_one(peers_, most_addresses, [](const Peer& peer) { return peer.at; });
  const auto [place, fresh] = peers_.try_emplace(address);
  Peer& peer = place->second;
  peer.tokens = fresh ? burst - 1 : std::max(0.0, tokens(peer, now) - 1);
  peer.at = now;
  return report(peer, now);
}

HandshakeGate::Report HandshakeGate::turned_away(const std::string& address,
                                                 Clock::time_point now) {
  const auto found = peers_.find(address);
  return found == peers_.end() ? Report() : report(found->second, now);
}

HandshakeGate::Report HandshakeGate::report(Peer& peer, Clock::time_point now) {
  if (peer.said && now - *peer.said < std::chrono::seconds(1)) {
    ++peer.unsaid;
    return {};
  }
  peer.said = now;
  return {true, std::exchange(peer.unsaid, 0)};
}

std::uint64_t HandshakeGate::succeeded(const std::string& address, Clock::time_point now) {
  if (!good_.contains(address))
    forget_one(good_, most_addresses, [](Clock::time_point last) { return last; });
  good_[address] = now;
  const auto found = peers_.find(address);
  if (found == peers_.end()) return 0;
  const std::uint64_t unsaid = found->second.unsaid;
  peers_.erase(found);
  return unsaid;
}

}  // namespace scistream::relay

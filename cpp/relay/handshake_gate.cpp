#include "relay/handshake_gate.hpp"

#include <algorithm>
#include <chrono>
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

std::optional<std::uint64_t> HandshakeGate::begin(std::uint64_t id) {
  trying_.push_back(id);
  if (trying_.size() <= most_at_once_) return std::nullopt;
  const std::uint64_t first = trying_.front();
  trying_.pop_front();
  return first;
}

void HandshakeGate::end(std::uint64_t id) {
  const auto found = std::find(trying_.begin(), trying_.end(), id);
  if (found != trying_.end()) trying_.erase(found);
}

HandshakeGate::Report HandshakeGate::failed(const std::string& address, Clock::time_point now) {
  if (!peers_.contains(address) && peers_.size() >= most_addresses) {
    peers_.erase(std::min_element(peers_.begin(), peers_.end(), [](const auto& a, const auto& b) {
      return a.second.at < b.second.at;
    }));
  }
  const auto [place, fresh] = peers_.try_emplace(address);
  Peer& peer = place->second;
  peer.tokens = fresh ? burst - 1 : std::max(0.0, tokens(peer, now) - 1);
  peer.at = now;
  if (peer.said && now - *peer.said < std::chrono::seconds(1)) {
    ++peer.unsaid;
    return {};
  }
  peer.said = now;
  return {true, std::exchange(peer.unsaid, 0)};
}

}  // namespace scistream::relay

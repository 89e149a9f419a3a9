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

std::optional<std::uint64_t> HandshakeGate::begin(std::uint64_t id, const std::string& address) {
  trying_.push_back({id, address});
  if (trying_.size() <= most_at_once_) return std::nullopt;
  std::map<std::string_view, std::size_t> counts;
  for (const Trying& each : trying_) ++counts[each.address];
  const auto busiest =
      std::max_element(counts.begin(), counts.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto first = std::find_if(trying_.begin(), trying_.end(), [&](const Trying& each) {
    return each.address == busiest->first;
  });
  const std::uint64_t makes_room = first->id;
  trying_.erase(first);
  return makes_room;
}

void HandshakeGate::end(std::uint64_t id) {
  const auto found = std::find_if(trying_.begin(), trying_.end(),
                                  [id](const Trying& each) { return each.id == id; });
  if (found != trying_.end()) trying_.erase(found);
}

std::string gate_address(const boost::asio::ip::address& address) {
  namespace ip = boost::asio::ip;
  if (address.is_v4()) return address.to_string();
  const ip::address_v6 v6 = address.to_v6();
  if (v6.is_v4_mapped()) return ip::make_address_v4(ip::v4_mapped, v6).to_string();
  auto bytes = v6.to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), std::uint8_t{0});
  return ip::address_v6(bytes).to_string();
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

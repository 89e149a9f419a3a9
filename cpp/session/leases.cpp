#include "session/leases.hpp"

#include <string>

namespace scistream::session {

Error Leases::no_bandwidth(std::uint64_t wanted, std::uint64_t free) const {
  return {Cause::exhausted, std::to_string(wanted) + " Mbit/s wanted, " + std::to_string(free) +
                                " of " + std::to_string(capacity_) + " Mbit/s are free"};
}

Status Leases::lease(const SessionKey& session, int ports, std::uint64_t mbps) {
  if (held_.contains(session)) {
    return Error{Cause::already_exists, "session " + to_string(session) + " holds a lease already"};
  }
  if (ports > ports_free()) {
    return Error{Cause::exhausted, std::to_string(ports) + " listeners wanted, " +
                                       std::to_string(ports_free()) + " of " +
                                       std::to_string(ports_) + " ports are free"};
  }
  if (capacity_ != 0 && mbps > capacity_free()) {
    return no_bandwidth(mbps, capacity_free());
  }
  resume(session, ports, mbps);
  return {};
}

Status Leases::change(const SessionKey& session, std::uint64_t mbps) {
  const auto found = held_.find(session);
  if (found == held_.end())
    return Error{Cause::not_found, "session " + to_string(session) + " holds no lease"};
  const Lease now = found->second;
  if (capacity_ != 0 && mbps > now.mbps && mbps - now.mbps > capacity_free())
    return no_bandwidth(mbps, capacity_free() + now.mbps);
  resume(session, now.ports, mbps);
  return {};
}

void Leases::resume(const SessionKey& session, int ports, std::uint64_t mbps) {
  (void)give_back(session);
  if (capacity_ == 0) mbps = 0;
  held_[session] = {ports, mbps};
  ports_leased_ += ports;
  mbps_leased_ += mbps;
}

bool Leases::give_back(const SessionKey& session) {
  const auto found = held_.find(session);
  if (found == held_.end()) return false;
  ports_leased_ -= found->second.ports;
  mbps_leased_ -= found->second.mbps;
  held_.erase(found);
  return true;
}

}  // namespace scistream::session

#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

#include "base/error.hpp"
#include "scistream/session_key.hpp"

namespace scistream::session {

/// What a facility has to give: listeners of its port range and payload bandwidth. A lease is
/// all or nothing. Lives on the control server's scheduler.
class Leases {
 public:
  /// `capacity_mbps` 0: bandwidth is not limited and never leased.
  Leases(int ports, std::uint64_t capacity_mbps) : ports_(ports), capacity_(capacity_mbps) {}

  /// `exhausted`, saying how much is free, if either is short; then nothing is leased.
  /// `already_exists` if the session holds a lease.
  Status lease(const SessionKey& session, int ports, std::uint64_t mbps);

  /// Another bandwidth for a session that holds a lease; `exhausted` if that is not free, and then
  /// nothing has changed.
  Status change(const SessionKey& session, std::uint64_t mbps);

  /// What the session has held since before this process, even if the port range or the capacity
  /// have become too small for it: then nothing is free until enough has come back.
  void resume(const SessionKey& session, int ports, std::uint64_t mbps);

  /// False if the session holds none.
  bool give_back(const SessionKey& session);

  [[nodiscard]] int ports_total() const noexcept { return ports_; }
  [[nodiscard]] int ports_free() const noexcept { return std::max(0, ports_ - ports_leased_); }
  [[nodiscard]] std::uint64_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::uint64_t capacity_free() const noexcept {
    return capacity_ > mbps_leased_ ? capacity_ - mbps_leased_ : 0;
  }
  [[nodiscard]] std::size_t held() const noexcept { return held_.size(); }

 private:
  struct Lease {
    int ports = 0;
    std::uint64_t mbps = 0;
  };

  [[nodiscard]] Error no_bandwidth(std::uint64_t wanted, std::uint64_t free) const;

  int ports_;
  std::uint64_t capacity_;
  int ports_leased_ = 0;
  std::uint64_t mbps_leased_ = 0;
  std::map<SessionKey, Lease> held_;
};

}  // namespace scistream::session

#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "net/destinations.hpp"
#include "scistream/session_key.hpp"

namespace scistream::control {

/// Where a facility lets its sessions connect to: what its operator says, or what is safe without
/// a word, and never back to itself. Any thread, once it knows that port.
class FacilityDestinations {
 public:
  /// The texts of `--allow-target` and `--allow-peer`; the error names the option.
  static Result<FacilityDestinations> parse(const std::vector<std::string>& targets,
                                            const std::vector<std::string>& peers);

  /// Where the control server listens.
  void set_control_port(std::vector<std::string> hosts, std::uint16_t port);

  /// Where its sessions listen.
  void set_listeners(std::vector<std::string> hosts, PortRange ports);

  /// Of sessions of that role, by the networks that this machine is in now. None leads back to
  /// listeners of this facility, but that those of consumers may lead to those of producers here:
  /// `of_consumers` are the ports of the others.
  [[nodiscard]] net::Destinations of(Role role,
                                     const std::set<std::uint16_t>& of_consumers = {}) const;

 private:
  [[nodiscard]] net::Destinations of_targets() const;
  [[nodiscard]] net::Destinations of_peers() const;
  [[nodiscard]] std::vector<net::Destination> control_ports() const;
  [[nodiscard]] std::vector<net::Destination> listeners(
      Role role, const std::set<std::uint16_t>& of_consumers) const;

  net::Destinations targets_;
  net::Destinations peers_;
  std::vector<std::string> hosts_;
  std::uint16_t port_ = 0;
  bool is_on_loopback_ = false;
  std::vector<std::string> listener_hosts_;
  PortRange listener_ports_{};
};

}  // namespace scistream::control

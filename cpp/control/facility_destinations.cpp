#include "control/facility_destinations.hpp"

#include <algorithm>
#include <utility>

#include "base/endpoint.hpp"
#include "net/tcp.hpp"

namespace scistream::control {

namespace {

void add(std::vector<net::Destination>& to, const std::vector<net::Destination>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

Result<net::Destinations> parse_option(const char* option, const std::vector<std::string>& texts) {
  auto parsed = net::Destinations::parse(texts);
  if (!parsed) return Error{Cause::invalid_argument, option + (": " + parsed.error().message)};
  return parsed;
}

/// Names as the address that is bound for them; one that cannot be looked up may be any.
std::vector<std::string> numeric(std::vector<std::string> hosts) {
  for (std::string& host : hosts) {
    if (is_wildcard(host) || net::parse_network(host)) continue;
    const auto bound = net::local_endpoint({host, 0});
    host = bound ? net::to_endpoint(*bound).host : "0.0.0.0";
  }
  return hosts;
}

/// These ports of every address that such hosts, which are numeric, stand for.
std::vector<net::Destination> at(const std::vector<std::string>& hosts,
                                 const std::vector<PortRange>& ports) {
  std::vector<net::Network> networks;
  const auto add_host = [&networks](const std::string& host) {
    if (const auto network = net::parse_network(host)) networks.push_back(*network);
  };
  for (const std::string& host : hosts) {
    if (!is_wildcard(host)) {
      add_host(host);
      continue;
    }
    if (const auto local = net::local_addresses())
      std::for_each(local->begin(), local->end(), add_host);
    for (const net::Destination& each : net::loopback_destinations())
      networks.push_back(each.network);
  }
  std::vector<net::Destination> found;
  for (const net::Network& network : networks)
    for (const PortRange& range : ports) found.push_back({network, range});
  return found;
}

}  // namespace

Result<FacilityDestinations> FacilityDestinations::parse(const std::vector<std::string>& targets,
                                                         const std::vector<std::string>& peers) {
  FacilityDestinations all;
  auto of_targets = parse_option("--allow-target", targets);
  if (!of_targets) return of_targets.error();
  auto of_peers = parse_option("--allow-peer", peers);
  if (!of_peers) return of_peers.error();
  all.targets_ = std::move(*of_targets);
  all.peers_ = std::move(*of_peers);
  return all;
}

void FacilityDestinations::set_control_port(std::vector<std::string> hosts, std::uint16_t port) {
  hosts_ = numeric(std::move(hosts));
  port_ = port;
  is_on_loopback_ =
      std::all_of(hosts_.begin(), hosts_.end(), [](const auto& host) { return is_loopback(host); });
}

void FacilityDestinations::set_listeners(std::vector<std::string> hosts, PortRange ports) {
  listener_hosts_ = numeric(std::move(hosts));
  listener_ports_ = ports;
}

net::Destinations FacilityDestinations::of(Role role,
                                           const std::set<std::uint16_t>& of_consumers) const {
  net::Destinations all = role == Role::producer ? of_targets() : of_peers();
  add(all.denied, control_ports());
  add(all.denied, listeners(role, of_consumers));
  return all;
}

net::Destinations FacilityDestinations::of_targets() const {
  net::Destinations all = targets_;
  if (!all.allowed.empty()) return all;
  for (const net::Network& network : net::connected_networks()) all.allowed.push_back({network});
  if (is_on_loopback_) add(all.allowed, net::loopback_destinations());
  // Without any network, nowhere rather than anywhere.
  if (all.allowed.empty())
    add(all.denied, {*net::parse_destination("0.0.0.0/0"), *net::parse_destination("[::]/0")});
  return all;
}

net::Destinations FacilityDestinations::of_peers() const {
  net::Destinations all = peers_;
  if (!all.allowed.empty()) return all;
  auto special = net::special_destinations();
  if (is_on_loopback_) {
    for (const net::Destination& each : net::loopback_destinations()) std::erase(special, each);
  }
  add(all.denied, special);
  return all;
}

/// A session that leads there would call the control server as if from this machine.
std::vector<net::Destination> FacilityDestinations::control_ports() const {
  return at(hosts_, {{port_, port_}});
}

/// Connections that came back to where they went out would take all descriptors by themselves.
std::vector<net::Destination> FacilityDestinations::listeners(
    Role role, const std::set<std::uint16_t>& of_consumers) const {
  std::vector<PortRange> ranges;
  if (role == Role::producer) ranges.push_back(listener_ports_);
  // Those of before a restart may be of another range.
  for (const std::uint16_t port : of_consumers) {
    const bool follows = !ranges.empty() && ranges.back().last + 1 == port;
    if (follows) {
      ranges.back().last = port;
    } else {
      ranges.push_back({port, port});
    }
  }
  return at(listener_hosts_, ranges);
}

}  // namespace scistream::control

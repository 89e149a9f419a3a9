#include "control/served_addresses.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "net/tcp.hpp"

namespace scistream::control {

namespace {

Error invalid(std::string message) { return {Cause::invalid_argument, std::move(message)}; }

/// HOST[:FIRSTPORT], as given to --advertise.
struct Advertised {
  std::string host;
  std::optional<std::uint16_t> first_port;
};

Result<Advertised> parse_advertised(const std::string& text, std::size_t ports) {
  const bool has_port = text.starts_with('[') ? text.find("]:") != std::string::npos
                                              : std::count(text.begin(), text.end(), ':') == 1;
  const bool complete = has_port || text.find("://") != std::string::npos;
  const auto endpoint = parse_endpoint(complete ? text : text + ":1");
  if (!endpoint) return invalid("bad --advertise '" + text + "': " + endpoint.error().message);
  if (!has_port) return Advertised{endpoint->host, std::nullopt};
  if (endpoint->port + ports - 1 > 65535) {
    return invalid("--advertise starts at port " + std::to_string(endpoint->port) +
                   ", too high for " + std::to_string(ports) + " ports");
  }
  return Advertised{endpoint->host, endpoint->port};
}

/// What to bind for the addresses an operator names; says each surprise once.
class Binder {
 public:
  Binder(bool serves_anyone, const Logger& log) : serves_anyone_(serves_anyone), log_(log) {}

  /// The address itself, or the wildcard if it is not local.
  Result<std::string> bind_host(const std::string& host) {
    const bool wildcard = is_wildcard(host);
    if (!wildcard && !parse_endpoint(to_string(Endpoint{host, 1})))
      return invalid("'" + host + "' is neither an address nor a host name");
    if (const auto found = net::local_endpoint({host, 0}); !found) {
      return invalid(found.error().message +
                     "; a name that only others know goes into --advertise");
    }
    if (!wildcard && !is_loopback(host) && !serves_anyone_) {
      return Error{Cause::permission_denied,
                   "this server cannot tell who calls and serves its own machine only, so it does "
                   "not listen on '" +
                       host + "'; use a loopback address, or --insecure-no-auth to serve anyone"};
    }
    if (wildcard && !serves_anyone_) {
      const std::string loopback = host == "::" ? "::1" : "127.0.0.1";
      if (!std::exchange(said_loopback_, true)) {
        log_->warn(
            "serving this machine only ({}), not {}: there is no way to tell who calls; "
            "--insecure-no-auth serves anyone",
            loopback, host.empty() ? "every address" : host);
      }
      return loopback;
    }
    if (wildcard || net::is_local_address(host))
      return host.empty() ? std::string("0.0.0.0") : host;
    if (said_not_local_.insert(host).second) {
      log_->warn(
          "{} is not an address of this machine: listening on every address and announcing it",
          host);
    }
    return std::string("0.0.0.0");
  }

 private:
  bool serves_anyone_;
  const Logger& log_;
  bool said_loopback_ = false;
  std::set<std::string> said_not_local_;
};

}  // namespace

Result<ServedAddresses> served_addresses(const AddressOptions& options, const Logger& log) {
  const std::string wan = options.wan_ip.empty() ? options.listener_ip : options.wan_ip;
  const std::string lan = options.lan_ip.empty() ? options.listener_ip : options.lan_ip;
  ServedAddresses served;
  Advertised advertised;
  if (!options.advertise.empty()) {
    auto parsed = parse_advertised(options.advertise, options.port_range.size());
    if (!parsed) return parsed.error();
    advertised = std::move(*parsed);
  }
  /// What others are told of an address.
  const auto announced = [&](const std::string& host) {
    if (!advertised.host.empty()) return advertised.host;
    return is_wildcard(host) ? std::string() : host;
  };
  served.announced_host = announced(options.listener_ip);

  Binder binder(options.serves_anyone, log);
  auto& hosts = served.hosts;
  std::vector<std::string> bound;
  for (const std::string& host : {options.listener_ip, wan, lan}) {
    auto to_bind = binder.bind_host(host);
    if (!to_bind) return to_bind.error();
    bound.push_back(*to_bind);
    if (std::find(hosts.begin(), hosts.end(), *to_bind) == hosts.end()) hosts.push_back(*to_bind);
  }
  if (std::any_of(hosts.begin(), hosts.end(), is_wildcard)) {
    const bool v6 = std::find(hosts.begin(), hosts.end(), "::") != hosts.end();
    hosts = {v6 ? "::" : "0.0.0.0"};
  }

  session::Addresses& sessions = served.sessions;
  sessions.ports = options.port_range;
  if (advertised.first_port) sessions.announced_first_port = *advertised.first_port;
  sessions.wan = {bound[1], announced(wan)};
  sessions.lan = {bound[2], announced(lan)};
  sessions.route_source = [](const std::string& caller) {
    const auto source = net::route_source(caller);
    return source ? *source : std::string();
  };
  return served;
}

}  // namespace scistream::control

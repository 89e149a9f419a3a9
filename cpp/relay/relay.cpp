#include "relay/relay.hpp"

#include <utility>

#include "relay/core.hpp"

namespace scistream::relay {

Result<std::unique_ptr<Relay>> Relay::create(net::IoThreads& threads, net::BoundPorts ports,
                                             Mode before_targets, Options options, Logger log) {
  auto core = std::make_shared<Core>(threads, std::move(options), std::move(log));
  const Status listening = core->listen(std::move(ports), before_targets);
  if (!listening) return listening.error();
  return std::unique_ptr<Relay>(new Relay(std::move(core)));
}

Result<std::unique_ptr<Relay>> Relay::open(net::IoThreads& threads, const std::vector<Pair>& pairs,
                                           Options options, Logger log, TransportPtr transport) {
  net::BoundPorts ports;
  std::vector<Endpoint> targets;
  for (const Pair& pair : pairs) {
    const auto address = net::local_endpoint(pair.listener);
    if (!address) return address.error();
    if (const Status bound = ports.bind(address.value(), options.datagrams); !bound)
      return bound.error();
    targets.push_back(pair.target);
  }
  auto relay = create(threads, std::move(ports), Mode::refuse, std::move(options), std::move(log));
  if (!relay) return relay;
  const Status forwarding = (*relay)->retarget(std::move(targets), std::move(transport));
  if (!forwarding) return forwarding.error();
  return relay;
}

Relay::~Relay() { core_->close(true, nullptr); }

std::vector<Endpoint> Relay::listeners() const { return core_->bound(); }
Status Relay::retarget(std::vector<Endpoint> targets, TransportPtr transport) {
  return core_->retarget(std::move(targets), std::move(transport));
}
void Relay::set_rate(std::uint64_t bits_per_second, bool leased) {
  core_->set_rate(bits_per_second, leased);
}
void Relay::save(Saved done) { core_->save(std::move(done)); }
Status Relay::resume(ConnectionState state) { return core_->resume(std::move(state)); }
Mode Relay::mode() const { return core_->mode(); }
Snapshot Relay::snapshot() const { return core_->snapshot(); }
std::vector<ConnectionSnapshot> Relay::connections() const { return core_->connections(); }
void Relay::cut(Callback done) { core_->close(true, std::move(done)); }
void Relay::drain(Callback done) { core_->close(false, std::move(done)); }

}  // namespace scistream::relay

#include "dataserver/relay_forwarding.hpp"

#include <atomic>
#include <utility>

#include "net/tcp.hpp"
#include "relay/relay.hpp"
#include "relay/tls_link.hpp"
#include "scistream/version.hpp"

namespace scistream::dataserver {

namespace {

relay::Options with_ids(relay::Options options) {
  // One source for all relays: connection ids are unique within the data server.
  if (!options.ids) options.ids = std::make_shared<std::atomic<std::uint64_t>>(0);
  if (!options.crowd) options.crowd = std::make_shared<relay::Crowd>();
  if (!options.flows) options.flows = std::make_shared<std::atomic<std::size_t>>(0);
  return options;
}

}  // namespace

/// One session's relay.
class RelayForwarding::RelayForwarder final : public Forwarder {
 public:
  RelayForwarder(RelayForwarding& parent, Role role,
                 std::shared_ptr<net::SharedDestinations> destinations,
                 std::unique_ptr<relay::Relay> relay)
      : parent_(parent),
        role_(role),
        destinations_(std::move(destinations)),
        relay_(std::move(relay)) {
    for (const Endpoint& bound : relay_->listeners()) ports_.push_back(bound.port);
  }
  ~RelayForwarder() override { forget_keys(); }

  [[nodiscard]] std::vector<std::uint16_t> ports() const override { return ports_; }

  void update(const UpdateRequest& request, Callback<void> done) override {
    for (const auto& facility : {parent_.outbound_, parent_.inbound_})
      facility->set_rate(request.rate.capacity_mbps * relay::bits_per_megabit);
    relay_->set_rate(request.rate.mbps * relay::bits_per_megabit, request.rate.leased);
    destinations_->replace(request.allowed);
    done(relay_->retarget(request.targets, transport(request)));
  }

  void end(Ending how, std::function<void()> done) override {
    if (how == Ending::drain) return relay_->drain(std::move(done));
    // Who is being let in while it drains is waited for as well.
    forget_keys();
    relay_->cut(std::move(done));
  }

  [[nodiscard]] Counters counters() const override {
    // In both roles the producer is behind the target: of the producer's session it is the target.
    const relay::Snapshot now = relay_->snapshot();
    return {now.bytes_to_client,
            now.bytes_to_target,
            now.connections_active,
            now.connections_total,
            now.errors,
            now.refused,
            now.idle};
  }

  [[nodiscard]] std::vector<ConnectionStatus> connections() const override {
    std::vector<ConnectionStatus> found;
    for (relay::ConnectionSnapshot& c : relay_->connections()) {
      found.push_back({c.id, ports_[c.listener], std::move(c.peer), std::move(c.target),
                       c.bytes_to_client, c.bytes_to_target, c.idle});
    }
    return found;
  }

 private:
  /// How the connections cross the WAN from now on.
  relay::TransportPtr transport(const UpdateRequest& request) {
    // The producer's side is connected to over the WAN, the consumer's connects.
    const auto far = role_ == Role::producer ? relay::Side::accepted : relay::Side::dialled;
    if (request.transport == transport::tcp) return relay::tcp_transport(far);
    if (!keys_) keys_ = std::make_shared<net::KeyRing>(parent_.suites_, parent_.clock_);
    keys_->replace(request.data_key);
    const auto& context = far == relay::Side::accepted ? parent_.tls_server_ : parent_.tls_client_;
    return relay::tls_transport(far, context, keys_);
  }

  void forget_keys() {
    if (keys_) keys_->clear();
  }

  RelayForwarding& parent_;
  const Role role_;
  const std::shared_ptr<net::SharedDestinations> destinations_;
  std::shared_ptr<net::KeyRing> keys_;  ///< Of an encrypted session.
  const std::unique_ptr<relay::Relay> relay_;
  std::vector<std::uint16_t> ports_;
};

RelayForwarding::RelayForwarding(net::IoThreads& threads, std::vector<net::Ciphersuite> suites,
                                 relay::Options options, Logger log)
    : threads_(threads),
      options_(with_ids(std::move(options))),
      suites_(std::move(suites)),
      tls_client_(std::make_shared<net::TlsContext>(net::TlsRole::client, suites_)),
      tls_server_(std::make_shared<net::TlsContext>(net::TlsRole::server, suites_)),
      log_(std::move(log)) {}

Info RelayForwarding::info() const {
  return {"Native", std::string(version()), {transport::tcp, transport::tls}, 0};
}

void RelayForwarding::reserve(const ReserveRequest& request, News /*news*/,
                              Callback<std::unique_ptr<Forwarder>> done) {
  auto ports = ports_.take(request);
  if (!ports) return done(ports.error());
  done(over(std::move(*ports), request.session.role, request.proxy_protocol));
}

Result<std::unique_ptr<Forwarder>> RelayForwarding::over(net::BoundPorts ports, Role role,
                                                         bool proxy_protocol) {
  const bool producer = role == Role::producer;
  auto options = options_;
  options.proxy_protocol = proxy_protocol && producer;
  options.datagrams = !ports.datagrams.empty();
  const auto destinations = std::make_shared<net::SharedDestinations>();
  options.destinations = destinations;
  options.facility =
      producer ? relay::SharedRates{outbound_, inbound_} : relay::SharedRates{inbound_, outbound_};
  auto relay =
      relay::Relay::create(threads_, std::move(ports),
                           producer ? relay::Mode::refuse : relay::Mode::hold, options, log_);
  if (!relay) return relay.error();
  return std::unique_ptr<Forwarder>(
      std::make_unique<RelayForwarder>(*this, role, destinations, std::move(*relay)));
}

}  // namespace scistream::dataserver

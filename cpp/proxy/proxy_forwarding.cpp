#include "proxy/proxy_forwarding.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <system_error>
#include <utility>

#include "base/file.hpp"
#include "net/tcp.hpp"
#include "proxy/supervisor.hpp"

namespace scistream::proxy {

namespace {

using dataserver::Callback;
using dataserver::ConnectionStatus;
using dataserver::Counters;
using dataserver::Ending;
using dataserver::Forwarder;
using dataserver::UpdateRequest;

/// Clients that may wait at a listener while the proxy is away.
constexpr int backlog = 4096;
constexpr const char* loopback = "127.0.0.1";

Result<std::vector<Endpoint>> endpoints_of(const std::vector<net::Fd>& sockets) {
  std::vector<Endpoint> found;
  for (const net::Fd& socket : sockets) {
    const auto address = net::bound_address(socket.get());
    if (!address) return address.error();
    found.push_back(net::to_endpoint(*address));
  }
  return found;
}

Status listen(const std::vector<net::Fd>& sockets) {
  for (const net::Fd& socket : sockets) {
    // Whoever is accepted has them, too.
    net::set_stream_options(socket.get());
    if (Status listening = net::listen_tcp(socket.get(), backlog); !listening) return listening;
  }
  return {};
}

/// As many ports of this host's own as there are listeners, between a proxy and a relay.
Result<net::BoundPorts> inner_ports(std::size_t count, bool datagrams) {
  net::BoundPorts ports;
  const auto address = net::local_endpoint({loopback, 0});
  if (!address) return address.error();
  for (std::size_t i = 0; i < count; ++i)
    if (Status bound = ports.bind(*address, datagrams); !bound) return bound.error();
  return ports;
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_limited(const UpdateRequest& request) {
  return request.rate.mbps != 0 || request.rate.capacity_mbps != 0;
}

}  // namespace

/// One session: a proxy, and on its WAN side a relay where one is needed, which the first update
/// decides. Towards the producer's side of the WAN the relay has the leased ports and feeds the
/// proxy; at the consumer's the proxy has them and feeds the relay.
class ProxyForwarding::ProxyForwarder final : public Forwarder {
 public:
  ProxyForwarder(ProxyForwarding& parent, const dataserver::ReserveRequest& request,
                 net::BoundPorts leased, std::vector<Endpoint> bound, std::filesystem::path folder,
                 News news)
      : parent_(parent),
        key_(request.session),
        announces_(request.proxy_protocol && key_.role == Role::producer),
        leased_(std::move(leased)),
        bound_(std::move(bound)),
        folder_(std::move(folder)),
        news_(std::move(news)),
        resolver_(parent.bookkeeping_),
        keys_(parent.program_.ciphersuites.empty()
                  ? nullptr
                  : std::make_shared<net::KeyRing>(parent.program_.ciphersuites, parent.clock_)) {}

  [[nodiscard]] std::vector<std::uint16_t> ports() const override {
    std::vector<std::uint16_t> found;
    found.reserve(bound_.size());
    for (const Endpoint& each : bound_) found.push_back(each.port);
    return found;
  }

  [[nodiscard]] Status check(const UpdateRequest& request) const override {
    if (!supervisor_) return {};
    const auto refuse = [this](const std::string& why) -> Status {
      return Error{Cause::failed_precondition, "session " + to_string(key_) + " runs through " +
                                                   parent_.program_.kind + " " + why};
    };
    if (request.transport != transport_)
      return refuse("with transport " + transport_ + ", which stays: request another session");
    if (!relay_ && needs_relay(request))
      return refuse("alone, which keeps no rate: request it with a rate");
    return {};
  }

  void update(const UpdateRequest& request, Callback<void> done) override {
    const bool first = supervisor_ == nullptr;
    if (first && needs_relay(request)) {
      if (Status made = make_relay(); !made) return done(made);
    }
    transport_ = request.transport;
    targets_ = request.targets;
    if (relay_ && announces_ && speaks_tls()) {
      return done(Error{Cause::failed_precondition,
                        parent_.program_.kind +
                            " cannot tell who connects in a session with a rate: leave the rate "
                            "or the PROXY protocol out"});
    }
    if (keys_ && speaks_tls()) keys_->replace(request.data_key);
    if (relay_ && key_.role == Role::consumer) {
      // The proxy's targets are the relay's listeners, which dials over the WAN.
      relay_->update(of_relay(request), [this, done = std::move(done)](const Status& status) {
        if (!status) return done(status);
        if (supervisor_) return supervisor_->retarget(relay_endpoints_, done);
        start(relay_endpoints_, done);
      });
      return;
    }
    resolve(request, {}, std::move(done));
  }

  void end(Ending how, std::function<void()> done) override {
    if (done) ended_ = std::move(done);
    ends_ = true;
    resolver_.cancel();
    const bool cut = how == Ending::cut;
    // What clients reach ends first; once it has, nothing is left that the other one could do.
    const bool relay_first = relay_ && key_.role == Role::producer;
    if (cut || relay_first) end_relay(how);
    if (cut || !relay_first) end_proxy(how);
    if (!cut && !relay_first && !supervisor_) end_relay(how);
    finish_if_gone();
  }

  void refresh(std::function<void()> done) override {
    if (!supervisor_) return done();
    supervisor_->refresh(std::move(done));
  }

  [[nodiscard]] Counters counters() const override {
    if (relay_ && !speaks_tls()) return relay_->counters();
    return supervisor_ ? supervisor_->counters() : Counters{};
  }

  [[nodiscard]] std::vector<ConnectionStatus> connections() const override {
    // Those who connect meet the relay there.
    if (relay_ && key_.role == Role::producer && !speaks_tls()) return relay_->connections();
    if (!supervisor_) return {};
    auto found = supervisor_->connections();
    for (ConnectionStatus& each : found) {
      const auto listener =
          std::find_if(bound_.begin(), bound_.end(),
                       [&each](const Endpoint& bound) { return bound.port == each.port; });
      const auto number = static_cast<std::size_t>(listener - bound_.begin());
      each.target = to_string(targets_[number % targets_.size()]);
    }
    return found;
  }

 private:
  [[nodiscard]] bool speaks_tls() const {
    return transport_ == dataserver::transport::tls && !parent_.program_.ciphersuites.empty();
  }

  [[nodiscard]] bool needs_relay(const UpdateRequest& request) const {
    return is_limited(request) || !has(parent_.program_.own_transports, request.transport);
  }

  /// Its share of an update: what the proxy encrypts is so already.
  [[nodiscard]] UpdateRequest of_relay(UpdateRequest request) const {
    if (speaks_tls()) {
      request.transport = dataserver::transport::tcp;
      request.data_key = {};
    }
    return request;
  }

  Status make_relay() {
    auto inner = inner_ports(bound_.size(), !leased_.datagrams.empty());
    if (!inner) return inner.error();
    auto endpoints = endpoints_of(inner->listeners);
    if (!endpoints) return endpoints.error();
    relay_endpoints_ = std::move(*endpoints);
    const bool producer = key_.role == Role::producer;
    if (producer) {
      // The proxy listens there, and the relay has the leased ports.
      if (Status listening = listen(inner->listeners); !listening) return listening;
      std::swap(*inner, leased_);
    }
    auto relay = parent_.relays_->over(std::move(*inner), key_.role, announces_);
    if (!relay) return relay.error();
    relay_ = std::move(*relay);
    return {};
  }

  /// One name after the other, from the first whose address is not known yet.
  void resolve(const UpdateRequest& request, std::vector<Endpoint> addresses, Callback<void> done) {
    if (addresses.size() == request.targets.size())
      return resolved(request, std::move(addresses), std::move(done));
    const Endpoint& target = request.targets[addresses.size()];
    net::async_resolve(resolver_, target,
                       [this, alive = std::weak_ptr(alive_), request, addresses, done, target](
                           boost::system::error_code failed,
                           const std::vector<boost::asio::ip::tcp::endpoint>& found) mutable {
                         if (alive.expired() || ends_) return;
                         if (failed || found.empty()) {
                           return done(Error{Cause::invalid_argument,
                                             "the target '" + to_string(target) +
                                                 "' has no address: " + failed.message()});
                         }
                         const auto allowed =
                             std::find_if(found.begin(), found.end(), [&](const auto& each) {
                               return request.allowed.permit(each.address(), each.port());
                             });
                         if (allowed == found.end()) {
                           return done(Error{Cause::permission_denied,
                                             "this facility does not allow connections to '" +
                                                 to_string(target) + "' (--allow-target)"});
                         }
                         addresses.push_back(net::to_endpoint(*allowed));
                         resolve(request, std::move(addresses), std::move(done));
                       });
  }

  void resolved(const UpdateRequest& request, std::vector<Endpoint> addresses,
                Callback<void> done) {
    std::vector<Endpoint> each;
    for (std::size_t i = 0; i < bound_.size(); ++i) each.push_back(addresses[i % addresses.size()]);
    if (relay_) {
      // It lets connections in, and under another key, once the proxy takes them.
      auto inwards = of_relay(request);
      inwards.targets = relay_endpoints_;
      inwards.allowed = {};
      done = [this, inwards, done = std::move(done)](const Status& status) {
        if (!status) return done(status);
        relay_->update(inwards, done);
      };
    }
    if (supervisor_) return supervisor_->retarget(std::move(each), std::move(done));
    start(each, std::move(done));
  }

  void start(const std::vector<Endpoint>& targets, Callback<void> done) {
    if (Status listening = listen(leased_.listeners); !listening) return done(listening);
    auto listeners = endpoints_of(leased_.listeners);
    if (!listeners) return done(listeners.error());
    std::vector<int> descriptors;
    for (const auto* sockets : {&leased_.listeners, &leased_.datagrams})
      for (const net::Fd& socket : *sockets) descriptors.push_back(socket.get());
    Work work{key_,       folder_, std::move(*listeners), !leased_.datagrams.empty(), targets,
              transport_, keys_};
    if (relay_ && !speaks_tls()) work.transport = dataserver::transport::tcp;
    work.announces = announces_;
    work.is_announced = announces_ && relay_;
    supervisor_ = Supervisor::make({parent_.bookkeeping_, parent_.sockets_}, parent_.program_,
                                   std::move(work), std::move(descriptors), to_string(key_),
                                   parent_.log_, news_, relay_ == nullptr || speaks_tls());
    supervisor_->start(std::move(done));
  }

  void end_relay(Ending how) {
    if (!relay_ || relay_gone_) return;
    // Comes on a thread of the relay.
    const auto gone = [this, alive = std::weak_ptr(alive_)] {
      boost::asio::post(parent_.bookkeeping_, [this, alive] {
        if (alive.expired()) return;
        relay_gone_ = true;
        end_proxy(Ending::cut);
        finish_if_gone();
      });
    };
    relay_->end(how, std::exchange(relay_ends_, true) ? std::function<void()>() : gone);
  }

  void end_proxy(Ending how) {
    // After a drain has begun, nobody takes what comes to them.
    const net::BoundPorts closing =
        how == Ending::drain ? std::exchange(leased_, {}) : net::BoundPorts();
    if (!supervisor_ || proxy_gone_) return;
    const auto gone = [this] {
      proxy_gone_ = true;
      end_relay(Ending::cut);
      finish_if_gone();
    };
    supervisor_->stop(how, std::exchange(proxy_ends_, true) ? std::function<void()>() : gone);
  }

  void finish_if_gone() {
    if ((relay_ && !relay_gone_) || (supervisor_ && !proxy_gone_)) return;
    leased_ = {};
    if (const auto done = std::exchange(ended_, nullptr)) done();
  }

  ProxyForwarding& parent_;
  const SessionKey key_;
  const bool announces_;    ///< Targets are told who connects.
  net::BoundPorts leased_;  ///< What the proxy listens on.
  const std::vector<Endpoint> bound_;
  const std::filesystem::path folder_;
  const News news_;
  boost::asio::ip::tcp::resolver resolver_;
  std::string transport_;
  const std::shared_ptr<net::KeyRing> keys_;  ///< Where the proxy encrypts.
  std::vector<Endpoint> targets_;
  std::unique_ptr<Forwarder> relay_;
  std::vector<Endpoint> relay_endpoints_;  ///< Between it and the proxy.
  bool relay_ends_ = false;
  bool relay_gone_ = false;
  std::shared_ptr<Supervisor> supervisor_;
  bool proxy_ends_ = false;
  bool proxy_gone_ = false;
  std::function<void()> ended_;
  bool ends_ = false;
  const std::shared_ptr<int> alive_ = std::make_shared<int>(0);  ///< What is late looks at it.
};

ProxyForwarding::ProxyForwarding(boost::asio::io_context& bookkeeping, Program program,
                                 std::filesystem::path folder,
                                 std::unique_ptr<dataserver::RelayForwarding> relays, Logger log)
    : bookkeeping_(bookkeeping),
      program_(std::move(program)),
      folder_(std::move(folder)),
      relays_(std::move(relays)),
      log_(std::move(log)) {
  if (program_.clear_away) program_.clear_away(log_);
  std::error_code none;
  for (const auto& left : std::filesystem::directory_iterator(folder_, none)) reap(left, log_);
}

dataserver::Info ProxyForwarding::info() const {
  auto info = relays_->info();
  info.kind = program_.kind;
  info.version = program_.version;
  info.transports = program_.transports;
  return info;
}

void ProxyForwarding::reserve(const dataserver::ReserveRequest& request, News news,
                              dataserver::Callback<std::unique_ptr<Forwarder>> done) {
  done(bind(request, std::move(news)));
}

Result<std::unique_ptr<Forwarder>> ProxyForwarding::bind(const dataserver::ReserveRequest& request,
                                                         News news) {
  if (request.datagrams && !program_.datagrams) {
    return Error{Cause::invalid_argument,
                 program_.kind + " forwards no datagrams; --type Native and Nginx do"};
  }
  if (Status made = make_private_directory(folder_); !made) return made.error();
  auto ports = ports_.take(request);
  if (!ports) return ports.error();
  auto bound = endpoints_of(ports->listeners);
  if (!bound) return bound.error();
  if (request.session.role == Role::consumer) {
    if (Status listening = listen(ports->listeners); !listening) return listening.error();
  }
  return std::unique_ptr<Forwarder>(
      std::make_unique<ProxyForwarder>(*this, request, std::move(*ports), std::move(*bound),
                                       folder_ / std::to_string(++last_folder_), std::move(news)));
}

}  // namespace scistream::proxy

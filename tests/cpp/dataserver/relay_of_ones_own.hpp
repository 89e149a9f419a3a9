#pragma once

// A data server as a user may write one: it blocks, and keeps no thread of the control server's.

#include <condition_variable>
#include <memory>
#include <mutex>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "dataserver/port_pool.hpp"
#include "net/tls_handshake.hpp"
#include "net/tls_suite.hpp"
#include "relay/relay.hpp"
#include "relay/tls_link.hpp"
#include "scistream/data_server.hpp"

namespace scistream::test {

/// Forwards through a relay a session.
class RelayOfOnesOwn : public v0::DataServer {
 public:
  static std::vector<net::Ciphersuite> suites() { return {net::Ciphersuite::aes_128_gcm}; }

  class Session : public Channel {
   public:
    Session(std::unique_ptr<relay::Relay> relay, std::vector<std::uint16_t> ports, Role role)
        : relay_(std::move(relay)), ports_(std::move(ports)), role_(role) {}

    [[nodiscard]] std::vector<std::uint16_t> ports() const override { return ports_; }
    Status forward(const ForwardRequest& request) override {
      const bool producer = role_ == Role::producer;
      const auto far = producer ? relay::Side::accepted : relay::Side::dialled;
      if (request.transport != "tls")
        return relay_->retarget(request.targets, relay::tcp_transport(far));
      keys_->replace(request.data_key);
      const auto context = std::make_shared<const net::TlsContext>(
          producer ? net::TlsRole::server : net::TlsRole::client, suites());
      return relay_->retarget(request.targets, relay::tls_transport(far, context, keys_));
    }
    void cut() override {
      keys_->clear();
      wait([this](auto done) { relay_->cut(done); });
      drained_->set();
    }
    void drain() override {
      // The relay may call when this is gone: a cut ends a drain, too.
      relay_->drain([drained = drained_] { drained->set(); });
      drained_->wait();
    }
    [[nodiscard]] Traffic traffic() const override {
      const auto now = relay_->snapshot();
      // In both roles the producer is behind the target.
      return {now.bytes_to_client,   now.bytes_to_target, now.connections_active,
              now.connections_total, now.errors,          now.refused};
    }
    [[nodiscard]] std::vector<Connection> connections() const override {
      std::vector<Connection> all;
      for (const auto& each : relay_->connections()) {
        all.push_back({each.id, ports_.at(each.listener), each.peer, each.target,
                       each.bytes_to_client, each.bytes_to_target});
      }
      return all;
    }

   private:
    class Flag {
     public:
      void set() {
        const std::lock_guard lock(mutex_);
        is_set_ = true;
        changed_.notify_all();
      }
      void wait() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return is_set_; });
      }

     private:
      std::mutex mutex_;
      std::condition_variable changed_;
      bool is_set_ = false;
    };

    template <class Start>
    static void wait(Start start) {
      const auto flag = std::make_shared<Flag>();
      start([flag] { flag->set(); });
      flag->wait();
    }

    std::unique_ptr<relay::Relay> relay_;
    const std::vector<std::uint16_t> ports_;
    const Role role_;
    const SteadyClock clock_;
    const std::shared_ptr<net::KeyRing> keys_ = std::make_shared<net::KeyRing>(suites(), clock_);
    const std::shared_ptr<Flag> drained_ = std::make_shared<Flag>();
  };

  [[nodiscard]] std::string kind() const override { return "OnesOwn"; }
  [[nodiscard]] std::vector<std::string> transports() const override { return {"tcp", "tls"}; }

  Result<std::unique_ptr<Channel>> listen(const ListenRequest& request) override {
    auto bound = take(request);
    if (!bound) return bound.error();
    const bool producer = request.session.role == Role::producer;
    auto relay =
        relay::Relay::create(threads_, std::move(*bound),
                             producer ? relay::Mode::refuse : relay::Mode::hold, {}, null_logger());
    if (!relay) return relay.error();
    std::vector<std::uint16_t> ports;
    for (const Endpoint& each : (*relay)->listeners()) ports.push_back(each.port);
    return std::unique_ptr<Channel>(
        std::make_unique<Session>(std::move(*relay), std::move(ports), request.session.role));
  }

 private:
  Result<net::BoundPorts> take(const ListenRequest& request) {
    const std::lock_guard lock(mutex_);
    dataserver::ReserveRequest wanted;
    wanted.session = request.session;
    wanted.num_conn = request.num_conn;
    wanted.bind_host = request.bind_host;
    wanted.ports = request.ports;
    wanted.exact_ports = request.exact_ports;
    return ports_.take(wanted);
  }

  net::IoThreads threads_{2};
  std::mutex mutex_;
  dataserver::PortPool ports_;
};

}  // namespace scistream::test

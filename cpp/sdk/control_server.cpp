#include "scistream/control_server.hpp"

#include <mutex>
#include <utility>

#include "control/access.hpp"
#include "control/control_server.hpp"
#include "dataserver/custom_forwarding.hpp"
#include "sdk/arguments.hpp"
#include "sdk/callback_log.hpp"
#include "sdk/grpc_use.hpp"
#include "sdk/guarded.hpp"

namespace scistream::inline v0 {

namespace {

control::AccessSettings access_of(const ControlServerOptions& options) {
  control::AccessSettings access;
  access.client_id = options.client_id;
  access.client_secret_file = options.client_secret_file;
  access.introspection_url = options.introspection_url;
  access.issuers = options.issuers;
  access.audience = options.audience;
  access.scope = options.scope;
  access.own_authenticator = options.own_authenticator;
  access.identity_ca = options.identity_ca;
  access.most_sessions = options.max_sessions_per_user;
  return access;
}

Result<control::ControlServerOptions> settled(const ControlServerOptions& options) {
  for (const auto& [what, duration] :
       {std::pair{"timeout", options.timeout}, std::pair{"max_session", options.max_session},
        std::pair{"idle_limit", options.idle_limit}}) {
    if (auto status = sdk::check_duration(what, duration); !status) return status.error();
  }
  control::ControlServerOptions all;
  all.data_server_place = control::DataServerPlace::inside;
  all.listener_ip = options.listener_ip;
  all.port = options.port;
  all.type = options.type;
  if (options.own_data_server) {
    all.own_data_server = [own = options.own_data_server](const Logger& log) {
      return dataserver::make_custom_data_server(own, log);
    };
  }
  all.port_range = options.port_range;
  all.advertise = options.advertise;
  all.wan_ip = options.wan_ip;
  all.lan_ip = options.lan_ip;
  all.timeout = options.timeout;
  all.capacity_mbps = options.capacity_mbps;
  all.max_session = options.max_session;
  all.idle_limit = options.idle_limit;
  all.state_directory = options.state_dir;
  all.tls = options.tls;
  all.server_crt = options.server_crt;
  all.server_key = options.server_key;
  all.insecure_no_auth = options.insecure_no_auth;
  all.client_ca = options.client_ca;
  all.policy = options.policy;
  all.policy_text = options.policy_text;
  all.audit = options.audit;
  all.allow_target = options.allow_target;
  all.allow_peer = options.allow_peer;
  all.facility_key = options.facility_key;
  if (auto status = control::complete_access(access_of(options), all); !status)
    return status.error();
  return all;
}

}  // namespace

/// The server, and what is known of it once it is stopped. Any thread.
class [[gnu::visibility("hidden")]] ControlServer::Impl {
 public:
  Impl(control::ControlServerOptions options, Logger log)
      : server_(std::move(options), std::move(log)) {}

  Status start() {
    const std::lock_guard turn(turn_mutex_);
    if (auto status = server_.start(); !status) return status;
    const std::lock_guard lock(mutex_);
    serves_ = true;
    return {};
  }

  Status reload() {
    const std::lock_guard turn(turn_mutex_);
    if (!running()) return Error{Cause::failed_precondition, "the control server is not running"};
    return server_.reload();
  }

  void stop(std::chrono::milliseconds drain, std::stop_token stop) {
    const std::lock_guard turn(turn_mutex_);
    {
      const std::lock_guard lock(mutex_);
      if (!serves_) return;
      last_ = face();
      serves_ = false;
    }
    const std::stop_callback hurry(std::move(stop), [this] { server_.hurry(); });
    server_.stop(drain);
  }

  /// How clients see it.
  struct Face {
    Endpoint endpoint;
    std::string fingerprint;
    std::string certificate;
  };
  /// The last one, once it is stopped.
  [[nodiscard]] Face shown() const {
    const std::lock_guard lock(mutex_);
    return serves_ ? face() : last_;
  }
  [[nodiscard]] bool running() const {
    const std::lock_guard lock(mutex_);
    return serves_;
  }

 private:
  [[nodiscard]] Face face() const {
    return {server_.endpoint(), server_.fingerprint(), server_.certificate()};
  }

  std::mutex turn_mutex_;  ///< Starts, stops and reloads one after another.
  control::ControlServer server_;
  mutable std::mutex mutex_;  ///< After it, of those below.
  bool serves_ = false;
  Face last_;
};

ControlServer::ControlServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlServer::ControlServer(ControlServer&& other) noexcept = default;
ControlServer& ControlServer::operator=(ControlServer&& other) noexcept = default;
ControlServer::~ControlServer() = default;

Result<ControlServer> ControlServer::start(const ControlServerOptions& options) {
  return sdk::guarded([&]() -> Result<ControlServer> {
    auto all = settled(options);
    if (!all) return all.error();
    sdk::about_to_use_grpc();
    auto impl = std::make_unique<Impl>(std::move(*all), sdk::logger_of(options.log));
    if (auto status = impl->start(); !status) return status.error();
    return ControlServer(std::move(impl));
  });
}

Endpoint ControlServer::endpoint() const { return impl_->shown().endpoint; }
std::string ControlServer::fingerprint() const { return impl_->shown().fingerprint; }
std::string ControlServer::certificate() const { return impl_->shown().certificate; }
bool ControlServer::running() const { return impl_->running(); }
Status ControlServer::reload() {
  return sdk::guarded([this] { return impl_->reload(); });
}
void ControlServer::stop(std::chrono::milliseconds drain, std::stop_token stop) {
  impl_->stop(sdk::within_bounds(drain), std::move(stop));
}

}  // namespace scistream::inline v0

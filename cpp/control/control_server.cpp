#include "control/control_server.hpp"

#include <algorithm>
#include <mutex>
#include <set>

#include "auth/audit.hpp"
#include "auth/authorizer.hpp"
#include "auth/identified_only.hpp"
#include "base/file.hpp"
#include "base/wait_for.hpp"
#include "control/control_service.hpp"
#include "control/data_server_process.hpp"
#include "control/facility_destinations.hpp"
#include "control/grpc_server.hpp"
#include "control/remote_data_server.hpp"
#include "control/served_addresses.hpp"
#include "control/serving_certificate.hpp"
#include "control/state_folder.hpp"
#include "net/asio_scheduler.hpp"
#include "net/tcp.hpp"
#include "proxy/data_servers.hpp"
#include "session/manager.hpp"
#include "session/sqlite_store.hpp"

namespace scistream::control {

namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds look_at_certificate{10};

Error invalid(std::string message) { return {Cause::invalid_argument, std::move(message)}; }

}  // namespace

class ControlServer::Impl {
 public:
  Impl(ControlServerOptions options, Logger log)
      : options_(std::move(options)), log_(std::move(log)) {}

  ~Impl() { stop(milliseconds(0)); }

  Status start() {
    Status status = try_start();
    if (!status) stop(milliseconds(0));
    return status;
  }

  void stop(milliseconds drain) {
    // Code of users that hangs, or a data server, holds nobody up for longer.
    const auto last_call = data_server_ ? starter_.after(drain, [this] { data_server_->hurry(); })
                                        : Scheduler::Timer();
    if (manager_) {
      (void)wait_for<void>([&](auto done) { manager_->shut_down(drain, done); },
                           drain + milliseconds(5'000));
    }
    if (identified_ != nullptr) identified_->end();
    if (server_) server_->stop(milliseconds(1'000));
    server_.reset();
    sockets_.clear();
    // The scheduler's thread ends before what runs on it dies.
    scheduler_.stop();
    starter_.stop();
    certificate_timer_.cancel();
    {
      const std::lock_guard lock(manager_mutex_);
      manager_.reset();
      certificate_.reset();
    }
    service_.reset();
    identified_ = nullptr;
    authorizer_.reset();
    file_audit_ = nullptr;
    audit_.reset();
    data_server_.reset();
    if (process_) process_->stop();
    process_.reset();
    store_.reset();
    state_folder_.leave();
  }

  void ask_capacity(std::function<void(const session::Capacity&)> done) {
    const std::lock_guard lock(manager_mutex_);
    if (!manager_) return;
    manager_->capacity([done = std::move(done)](const Result<session::Capacity>& capacity) {
      if (capacity) done(*capacity);
    });
  }

  Status reload() {
    if (file_audit_ != nullptr) {
      if (auto status = file_audit_->reopen(); !status) return status;
    }
    if (identified_ != nullptr) {
      auto policy = read_policy();
      if (!policy) return policy.error();
      identified_->replace(std::move(*policy));
    }
    if (!certificate_) return {};
    // Where it is looked at otherwise: one at a time.
    return wait_for<void>([this](auto done) {
      starter_.post([this, done = std::move(done)] { done(refresh_certificate()); });
    });
  }

  void hurry() {
    const std::lock_guard lock(manager_mutex_);
    if (!manager_) return;
    data_server_->hurry();
    manager_->shut_down(milliseconds(0), [](const Status&) {});
  }

  [[nodiscard]] Endpoint endpoint() const {
    std::string host = served_.announced_host;
    if (host.empty()) host = served_.hosts.empty() ? options_.listener_ip : served_.hosts.front();
    return {host, port_};
  }
  [[nodiscard]] std::string fingerprint() const {
    const std::lock_guard lock(manager_mutex_);
    return certificate_ ? certificate_->fingerprint() : std::string();
  }
  [[nodiscard]] std::string certificate() const {
    const std::lock_guard lock(manager_mutex_);
    return certificate_ ? certificate_->certificate() : std::string();
  }
  [[nodiscard]] const std::filesystem::path& state_directory() const {
    return state_folder_.path();
  }

 private:
  Status try_start() {
    for (const auto step : {&Impl::check_options, &Impl::choose_addresses, &Impl::bind_port,
                            &Impl::take_state_directory, &Impl::open_store, &Impl::make_identity,
                            &Impl::choose_authorizer, &Impl::connect_data_server,
                            &Impl::forget_strangers, &Impl::serve}) {
      if (auto status = (this->*step)(); !status) return status;
    }
    return {};
  }

  Status check_options() {
    if (options_.own_data_server) {
      if (options_.data_server_place != DataServerPlace::inside)
        return invalid("a data server of one's own is in the control server's process");
    } else {
      auto kind = proxy::data_server_kind(options_.type);
      if (!kind) return kind.error();
      options_.type = std::move(*kind);
    }
    if (const auto suites = net::parse_ciphersuites(options_.ciphersuites); !suites)
      return invalid("--ciphersuites: " + suites.error().message);
    if (options_.compat_stunnel && options_.require_encryption)
      return invalid("--compat-stunnel encrypts nothing, and --require-encryption refuses that");
    if (options_.data_server_place == DataServerPlace::process) {
      if (auto able = proxy::can_run(plan()); !able) return able.error();
    }
    if (Status able = check_identity(); !able) return able;
    if (options_.timeout.count() <= 0) return invalid("the timeout must be longer than 0 s");
    return {};
  }

  [[nodiscard]] bool knows_users() const {
    return options_.identity.has_value() || !options_.client_ca.empty();
  }

  Status check_identity() {
    if (knows_users() && options_.insecure_no_auth)
      return invalid("--insecure-no-auth is for a server that does not ask who calls");
    if (!options_.policy.empty() && !options_.policy_text.empty())
      return invalid("the policy is either a text or a file");
    if (!(options_.policy.empty() && options_.policy_text.empty()) && !knows_users())
      return invalid(
          "--policy is about users: say how they are known (--client-id, --issuer, "
          "--client-ca)");
    if (!options_.client_ca.empty() && !options_.tls)
      return invalid("--client-ca asks for certificates in TLS, which --ssl=False turns off");
    auto allowed = FacilityDestinations::parse(options_.allow_target, options_.allow_peer);
    if (!allowed) return allowed.error();
    destinations_ = std::move(*allowed);
    return {};
  }

  Status choose_addresses() {
    auto served = served_addresses(
        {options_.listener_ip, options_.wan_ip, options_.lan_ip, options_.advertise,
         options_.port_range, options_.insecure_no_auth || knows_users()},
        log_);
    if (!served) return served.error();
    served_ = std::move(*served);
    const bool is_on_loopback =
        std::all_of(served_.hosts.begin(), served_.hosts.end(), is_loopback);
    if (knows_users() && !options_.tls && !is_on_loopback) {
      return invalid(
          "--ssl=False would carry users' tokens where anybody on the path can read "
          "them; leave it out, or listen on a loopback address");
    }
    return {};
  }

  [[nodiscard]] Result<auth::Policy> read_policy() const {
    if (!options_.policy_text.empty()) return auth::Policy::parse(options_.policy_text);
    if (options_.policy.empty()) return auth::Policy::for_all();
    return auth::Policy::read(options_.policy);
  }

  Status choose_authorizer() {
    if (options_.insecure_no_auth) {
      authorizer_ = std::make_unique<auth::Anyone>();
    } else if (!knows_users()) {
      authorizer_ = std::make_unique<auth::LocalOnly>();
    } else {
      auto policy = read_policy();
      if (!policy) return policy.error();
      auto identified = auth::IdentifiedOnly::make(
          options_.identity.value_or(auth::IdentityOptions{}), std::move(*policy), log_);
      if (!identified) return identified.error();
      identified_ = identified->get();
      authorizer_ = std::move(*identified);
    }
    if (!knows_users() && options_.audit.empty()) {
      audit_ = std::make_unique<auth::NoAudit>();
      return {};
    }
    const auto path =
        options_.audit.empty() ? state_folder_.path() / "audit.jsonl" : options_.audit;
    auto audit = auth::FileAudit::open(path, log_);
    if (!audit) return audit.error();
    file_audit_ = audit->get();
    audit_ = std::move(*audit);
    return {};
  }

  /// Before anything is made or started for it.
  Status bind_port() {
    auto sockets = GrpcServer::bind(served_.hosts, options_.port);
    if (!sockets) return sockets.error();
    sockets_ = std::move(*sockets);
    const auto bound = net::bound_address(sockets_.front().get());
    if (!bound) return bound.error();
    port_ = bound->port();
    destinations_.set_control_port(served_.hosts, port_);
    const auto& sides = served_.sessions;
    destinations_.set_listeners({sides.wan.bind_host, sides.lan.bind_host}, sides.ports);
    return {};
  }

  Status take_state_directory() {
    auto folder = StateFolder::take(options_.state_directory, options_.port, options_.listener_ip);
    if (!folder) return folder.error();
    state_folder_ = std::move(*folder);
    return {};
  }

  Status open_store() {
    const auto key = options_.facility_key.empty() ? Result<Secret>(Secret())
                                                   : facility_key(options_.facility_key);
    if (!key) return key.error();
    auto store = session::SqliteStore::open(state_folder_.path() / "sessions.db", log_, *key);
    if (!store) return store.error();
    store_ = std::move(*store);
    auto left = store_->load();
    if (!left) return left.error();
    left_ = std::move(*left);
    return {};
  }

  Status make_identity() {
    if (!options_.tls) return {};
    auto hosts = served_.hosts;
    for (const std::string& host : {served_.announced_host, served_.sessions.wan.announced_host,
                                    served_.sessions.lan.announced_host}) {
      if (!host.empty()) hosts.push_back(host);
    }
    auto certificate =
        ServingCertificate::make({options_.server_crt, options_.server_key, options_.client_ca,
                                  state_folder_.path(), std::move(hosts)},
                                 log_);
    if (!certificate) return certificate.error();
    const std::lock_guard lock(manager_mutex_);
    certificate_ = std::move(*certificate);
    return {};
  }

  /// Certificates are renewed by others, and ours by us.
  void watch_certificate() {
    certificate_timer_ = starter_.after(look_at_certificate, [this] {
      (void)refresh_certificate();
      watch_certificate();
    });
  }

  Status refresh_certificate() {
    const auto refreshed = certificate_->refresh();
    const std::string why = refreshed ? std::string() : refreshed.error().message;
    // Not every time that it is looked at.
    if (!why.empty() && why != std::exchange(certificate_trouble_, why))
      log_->error("the certificate stays as it was: {}", why);
    if (why.empty()) certificate_trouble_.clear();
    if (refreshed && *refreshed) {
      log_->info("serving with another certificate, SHA-256 fingerprint: {}",
                 certificate_->fingerprint());
    }
    return refreshed ? Status() : Status(refreshed.error());
  }

  Status connect_data_server() {
    switch (options_.data_server_place) {
      case DataServerPlace::inside: return make_data_server();
      case DataServerPlace::process:
        process_ = std::make_unique<DataServerProcess>(
            DataServerLaunch{options_.data_server_executable, state_folder_.path(), options_.type,
                             options_.compat_stunnel, options_.container, options_.orphan_grace,
                             options_.ciphersuites, options_.flow_idle, options_.verbose},
            log_);
        break;
      case DataServerPlace::remote: break;
    }
    auto connected = connect_again();
    if (!connected) return connected.error();
    data_server_ = std::move(*connected);
    return ask_facts();
  }

  /// What the data server on this machine is to be.
  [[nodiscard]] proxy::DataServerPlan plan() const {
    dataserver::NativeOptions native;
    native.ciphersuites = *net::parse_ciphersuites(options_.ciphersuites);
    native.relay.flow_idle = options_.flow_idle;
    return {options_.type, options_.compat_stunnel, state_folder_.path() / "proxies",
            std::move(native), options_.container};
  }

  /// Inside this process.
  Status make_data_server() {
    auto made = options_.own_data_server ? options_.own_data_server(log_)
                                         : proxy::make_data_server(plan(), log_);
    if (!made) return made.error();
    data_server_ = std::move(*made);
    return ask_facts();
  }

  Status ask_facts() {
    const auto info = ask_info(*data_server_, milliseconds(5'000));
    if (!info) return info.error();
    facts_ = *info;
    return {};
  }

  Result<std::shared_ptr<dataserver::DataServer>> connect_again() {
    if (process_) return process_->connect();
    TlsFiles files;
    const bool tls = !options_.data_server_ca.empty();
    if (tls) {
      auto given = read_mutual_tls(options_.data_server_ca, options_.data_server_crt,
                                   options_.data_server_key);
      if (!given) return given.error();
      files = std::move(*given);
    } else if (!options_.data_server.starts_with("unix:")) {
      const auto endpoint = parse_endpoint(options_.data_server);
      if (!endpoint) return endpoint.error();
      if (!is_loopback(endpoint->host)) {
        return invalid(
            "a data server on another machine needs mutual TLS: give --data-server-ca, "
            "--data-server-crt and --data-server-key");
      }
    }
    auto remote = std::make_shared<RemoteDataServer>(options_.data_server, tls, files);
    if (const auto info = ask_info(*remote, milliseconds(5'000)); !info) {
      return Error{info.error().cause,
                   "no data server at " + options_.data_server + ": " + info.error().message};
    }
    return std::static_pointer_cast<dataserver::DataServer>(remote);
  }

  /// What the store knows nothing of, such as what was being reserved when an earlier control
  /// server died, or what is in a store that was lost: ended, but live streams run to their end.
  Status forget_strangers() {
    std::set<SessionKey> known;
    for (const auto& session : left_.sessions) known.insert(session.request.key);
    if (options_.data_server_place == DataServerPlace::inside) return {};
    const auto left = wait_for<std::vector<dataserver::SessionStatus>>(
        [this](auto done) { data_server_->status(std::nullopt, done); });
    if (!left) return left.error();
    for (const auto& session : *left) {
      if (known.contains(session.session)) continue;
      const bool live = session.counters.connections_active > 0;
      log_->warn("session {} is left from before: {}", to_string(session.session),
                 live ? "it ends with its last connection" : "ending it");
      if (live) {
        data_server_->release(session.session, dataserver::Ending::drain, [](const auto&) {});
        continue;
      }
      const auto gone = wait_for<dataserver::Released>([&](auto done) {
        data_server_->release(session.session, dataserver::Ending::cut, done);
      });
      if (!gone) return gone.error();
    }
    return {};
  }

  Status serve() {
    session::ManagerOptions options;
    options.addresses = served_.sessions;
    options.transports = facts_.transports;
    options.restore_window = std::max(options.restore_window, proxy::start_limit_of(facts_.kind));
    options.require_encryption = options_.require_encryption;
    options.capacity_mbps = options_.capacity_mbps;
    options.timeout = options_.timeout;
    options.max_session = options_.max_session;
    options.idle_limit = options_.idle_limit;
    options.destinations = [this](Role role, const auto& of_consumers) {
      return destinations_.of(role, of_consumers);
    };
    session::Manager::Revive revive;
    if (options_.data_server_place != DataServerPlace::inside) {
      revive = [this](auto done) {
        starter_.post([this, done = std::move(done)] { done(connect_again()); });
      };
    }
    manager_ = std::make_unique<session::Manager>(scheduler_, data_server_, store_, options, log_,
                                                  std::move(revive));
    if (auto status =
            wait_for<void>([this](auto done) { manager_->resume(std::exchange(left_, {}), done); });
        !status) {
      return status;
    }
    service_ = std::make_unique<ControlService>(
        *manager_, Gate{*authorizer_, *audit_},
        ControlService::Facts{facts_, options_.tls, authorizer_->login_hint()});
    auto server = GrpcServer::serve(
        std::move(sockets_),
        certificate_ ? certificate_->credentials() : grpc::InsecureServerCredentials(),
        service_.get(), log_,
        // Its own machine does not flood it.
        knows_users() ? std::optional(GrpcServer::ConnectionLimits{}) : std::nullopt);
    if (!server) return server.error();
    server_ = std::move(*server);
    if (certificate_) watch_certificate();
    return {};
  }

  ControlServerOptions options_;
  Logger log_;
  ServedAddresses served_;
  StateFolder state_folder_;
  FacilityDestinations destinations_;
  std::unique_ptr<ServingCertificate> certificate_;  ///< Empty without TLS.
  std::vector<net::Fd> sockets_;                     ///< Bound, until it serves.
  std::uint16_t port_ = 0;

  std::shared_ptr<session::Store> store_;
  session::Store::Contents left_;  ///< By an earlier control server, until it is taken up.
  net::AsioScheduler scheduler_{"sci-s2cs"};
  net::AsioScheduler starter_{"sci-starter"};  ///< Brings a data server back, which takes its time.
  std::unique_ptr<DataServerProcess> process_;
  std::shared_ptr<dataserver::DataServer> data_server_;
  dataserver::Info facts_;  ///< Of the data server.
  Scheduler::Timer certificate_timer_;
  std::string certificate_trouble_;  ///< That has been said.
  /// Of changes of the manager and the certificate: others may ask while it stops.
  mutable std::mutex manager_mutex_;
  std::unique_ptr<session::Manager> manager_;
  std::unique_ptr<auth::AuditLog> audit_;
  auth::FileAudit* file_audit_ = nullptr;
  std::unique_ptr<auth::Authorizer> authorizer_;
  auth::IdentifiedOnly* identified_ = nullptr;  ///< The same, if it is one.
  std::unique_ptr<ControlService> service_;
  std::unique_ptr<GrpcServer> server_;
};

ControlServer::ControlServer(ControlServerOptions options, Logger log)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(log))) {}
ControlServer::~ControlServer() = default;

Status ControlServer::start() { return impl_->start(); }
Endpoint ControlServer::endpoint() const { return impl_->endpoint(); }
std::string ControlServer::fingerprint() const { return impl_->fingerprint(); }
std::string ControlServer::certificate() const { return impl_->certificate(); }
std::filesystem::path ControlServer::state_directory() const { return impl_->state_directory(); }
void ControlServer::stop(std::chrono::milliseconds drain) { impl_->stop(drain); }
void ControlServer::ask_capacity(std::function<void(const session::Capacity&)> done) {
  impl_->ask_capacity(std::move(done));
}
Status ControlServer::reload() { return impl_->reload(); }
void ControlServer::hurry() { impl_->hurry(); }

}  // namespace scistream::control

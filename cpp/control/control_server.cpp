#include "control/control_server.hpp"

#include <stdlib.h>

#include <algorithm>
#include <cctype>
#include <mutex>
#include <set>

#include "auth/authorizer.hpp"
#include "base/file.hpp"
#include "base/wait_for.hpp"
#include "control/control_service.hpp"
#include "control/data_server_process.hpp"
#include "control/grpc_server.hpp"
#include "control/remote_data_server.hpp"
#include "control/server_identity.hpp"
#include "dataserver/native.hpp"
#include "net/asio_scheduler.hpp"
#include "net/tcp.hpp"
#include "session/manager.hpp"
#include "session/sqlite_store.hpp"

namespace scistream::control {

namespace {

using std::chrono::milliseconds;

Error invalid(std::string message) { return {Cause::invalid_argument, std::move(message)}; }

bool equal_without_case(const std::string& a, const std::string& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

}  // namespace

const std::vector<std::string>& data_server_kinds() {
  static const std::vector<std::string> kinds{"Native"};
  return kinds;
}

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
    if (manager_) (void)wait_for<void>([&](auto done) { manager_->shut_down(drain, done); });
    if (server_) server_->stop(milliseconds(1'000));
    server_.reset();
    sockets_.clear();
    // The scheduler's thread ends before what runs on it dies.
    scheduler_.stop();
    {
      const std::lock_guard lock(hurry_mutex_);
      manager_.reset();
    }
    service_.reset();
    data_server_.reset();
    if (process_) process_->stop();
    process_.reset();
    store_.reset();
    lock_ = DirectoryLock();
    if (!temporary_.empty()) {
      std::error_code ignored;
      std::filesystem::remove_all(std::exchange(temporary_, {}), ignored);
    }
  }

  void hurry() {
    const std::lock_guard lock(hurry_mutex_);
    if (manager_) manager_->shut_down(milliseconds(0), [](const Status&) {});
  }

  [[nodiscard]] Endpoint endpoint() const {
    std::string host = announced_host_;
    if (host.empty()) host = hosts_.empty() ? options_.listener_ip : hosts_.front();
    return {host, port_};
  }
  [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }
  [[nodiscard]] const std::string& certificate() const { return identity_.certificate; }
  [[nodiscard]] const std::filesystem::path& state_directory() const { return state_directory_; }

 private:
  Status try_start() {
    for (const auto step : {&Impl::check_options, &Impl::choose_addresses, &Impl::bind_port,
                            &Impl::take_state_directory, &Impl::open_store, &Impl::make_identity,
                            &Impl::connect_data_server, &Impl::forget_strangers, &Impl::serve}) {
      if (auto status = (this->*step)(); !status) return status;
    }
    return {};
  }

  Status check_options() {
    const auto& kinds = data_server_kinds();
    if (std::none_of(kinds.begin(), kinds.end(), [this](const std::string& kind) {
          return equal_without_case(kind, options_.type);
        })) {
      std::string known;
      for (const std::string& kind : kinds) known += (known.empty() ? "" : ", ") + kind;
      return invalid("data server type '" + options_.type + "' is not known; known: " + known);
    }
    if (options_.timeout.count() <= 0) return invalid("the timeout must be longer than 0 s");
    return {};
  }

  Status choose_addresses() {
    const std::string wan = options_.wan_ip.empty() ? options_.listener_ip : options_.wan_ip;
    const std::string lan = options_.lan_ip.empty() ? options_.listener_ip : options_.lan_ip;
    std::string advertised = options_.advertise;
    if (!advertised.empty()) {
      const bool has_port = advertised.starts_with('[')
                                ? advertised.find("]:") != std::string::npos
                                : std::count(advertised.begin(), advertised.end(), ':') == 1;
      const bool complete = has_port || advertised.find("://") != std::string::npos;
      const auto endpoint = parse_endpoint(complete ? advertised : advertised + ":1");
      if (!endpoint) {
        return invalid("bad --advertise '" + advertised + "': " + endpoint.error().message);
      }
      advertised = endpoint->host;
      if (has_port) addresses_.announced_first_port = endpoint->port;
      if (has_port && endpoint->port + options_.port_range.size() - 1 > 65535) {
        return invalid("--advertise starts at port " + std::to_string(endpoint->port) +
                       ", too high for " + std::to_string(options_.port_range.size()) + " ports");
      }
    }
    announced_host_ = !advertised.empty()                 ? advertised
                      : is_wildcard(options_.listener_ip) ? ""
                                                          : options_.listener_ip;
    for (const std::string& host : {options_.listener_ip, wan, lan}) {
      auto bound = bind_host(host);
      if (!bound) return bound.error();
      if (std::find(hosts_.begin(), hosts_.end(), *bound) == hosts_.end()) hosts_.push_back(*bound);
    }
    if (std::any_of(hosts_.begin(), hosts_.end(), is_wildcard)) {
      const bool v6 = std::find(hosts_.begin(), hosts_.end(), "::") != hosts_.end();
      hosts_ = {v6 ? "::" : "0.0.0.0"};
    }
    addresses_.ports = options_.port_range;
    addresses_.wan = {*bind_host(wan), !advertised.empty() ? advertised
                                       : is_wildcard(wan)  ? ""
                                                           : wan};
    addresses_.lan = {*bind_host(lan), !advertised.empty() ? advertised
                                       : is_wildcard(lan)  ? ""
                                                           : lan};
    addresses_.route_source = [](const std::string& caller) {
      const auto source = net::route_source(caller);
      return source ? *source : std::string();
    };
    return {};
  }

  /// What to bind for an address that others use: itself, or the wildcard if it is not local.
  Result<std::string> bind_host(const std::string& host) {
    const bool wildcard = is_wildcard(host);
    if (!wildcard && !parse_endpoint(to_string(Endpoint{host, 1})))
      return invalid("'" + host + "' is neither an address nor a host name");
    if (const auto found = net::local_endpoint({host, 0}); !found) {
      return invalid(found.error().message +
                     "; a name that only others know goes into --advertise");
    }
    if (!wildcard && !is_loopback(host) && !options_.insecure_no_auth) {
      return Error{Cause::permission_denied,
                   "this server cannot tell who calls and serves its own machine only, so it does "
                   "not listen on '" +
                       host + "'; use a loopback address, or --insecure-no-auth to serve anyone"};
    }
    if (wildcard && !options_.insecure_no_auth) {
      if (!std::exchange(said_loopback_, true)) {
        log_->warn(
            "serving this machine only (127.0.0.1), not {}: there is no way to tell who calls; "
            "--insecure-no-auth serves anyone",
            host.empty() ? "every address" : host);
      }
      return std::string(host == "::" ? "::1" : "127.0.0.1");
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

  /// Before anything is made or started for it.
  Status bind_port() {
    auto sockets = GrpcServer::bind(hosts_, options_.port);
    if (!sockets) return sockets.error();
    sockets_ = std::move(*sockets);
    const auto bound = net::bound_address(sockets_.front().get());
    if (!bound) return bound.error();
    port_ = bound->port();
    return {};
  }

  Status take_state_directory() {
    state_directory_ = options_.state_directory;
    if (state_directory_.empty() && options_.port != 0) {
      state_directory_ = default_state_directory() / ("s2cs-" + std::to_string(options_.port));
      // Facilities that share a machine share a port number, but not an address.
      if (!is_wildcard(options_.listener_ip)) state_directory_ += "-" + options_.listener_ip;
    } else if (state_directory_.empty()) {
      std::string made = (std::filesystem::temp_directory_path() / "s2cs-XXXXXX").string();
      if (::mkdtemp(made.data()) == nullptr)
        return errno_error("cannot make a state folder", errno);
      state_directory_ = temporary_ = made;
    }
    if (auto status = make_private_directory(state_directory_); !status) return status;
    auto lock = DirectoryLock::take(state_directory_, "s2cs");
    if (!lock) return lock.error();
    lock_ = std::move(*lock);
    return {};
  }

  Status open_store() {
    auto store = session::SqliteStore::open(state_directory_ / "sessions.db", log_);
    if (!store) return store.error();
    store_ = std::move(*store);
    auto left = store_->load();
    if (!left) return left.error();
    left_ = std::move(*left);
    return {};
  }

  Status make_identity() {
    if (!options_.tls) return {};
    auto hosts = hosts_;
    for (const std::string& host :
         {announced_host_, addresses_.wan.announced_host, addresses_.lan.announced_host}) {
      if (!host.empty()) hosts.push_back(host);
    }
    auto identity =
        server_identity(options_.server_crt, options_.server_key, state_directory_, hosts, log_);
    if (!identity) return identity.error();
    identity_ = std::move(*identity);
    const auto print = net::fingerprint(identity_.certificate);
    if (!print) return print.error();
    fingerprint_ = *print;
    return {};
  }

  Status connect_data_server() {
    switch (options_.data_server_place) {
      case DataServerPlace::inside:
        data_server_ =
            std::make_shared<dataserver::NativeDataServer>(dataserver::NativeOptions{}, log_);
        return {};
      case DataServerPlace::process:
        process_ = std::make_unique<DataServerProcess>(
            DataServerLaunch{options_.data_server_executable, state_directory_,
                             options_.orphan_grace, options_.verbose},
            log_);
        break;
      case DataServerPlace::remote: break;
    }
    auto connected = connect_again();
    if (!connected) return connected.error();
    data_server_ = std::move(*connected);
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
        data_server_->release(session.session, dataserver::Ending::drain, [](const Status&) {});
        continue;
      }
      const auto gone = wait_for<void>([&](auto done) {
        data_server_->release(session.session, dataserver::Ending::cut, done);
      });
      if (!gone) return gone;
    }
    return {};
  }

  Status serve() {
    session::ManagerOptions options;
    options.addresses = addresses_;
    options.capacity_mbps = options_.capacity_mbps;
    options.timeout = options_.timeout;
    options.max_session = options_.max_session;
    options.idle_limit = options_.idle_limit;
    session::Manager::Revive revive;
    if (options_.data_server_place != DataServerPlace::inside) {
      revive = [this](auto done) {
        // Blocks the scheduler, which has nothing to do without a data server.
        done(connect_again());
      };
    }
    manager_ = std::make_unique<session::Manager>(scheduler_, data_server_, store_, options, log_,
                                                  std::move(revive));
    if (auto status =
            wait_for<void>([this](auto done) { manager_->resume(std::exchange(left_, {}), done); });
        !status) {
      return status;
    }
    if (options_.insecure_no_auth) {
      authorizer_ = std::make_unique<auth::Anyone>();
    } else {
      authorizer_ = std::make_unique<auth::LocalOnly>();
    }
    service_ = std::make_unique<ControlService>(
        *manager_, *authorizer_, ControlService::Facts{data_server_kinds(), {"tcp"}, options_.tls});
    auto server = GrpcServer::serve(
        std::move(sockets_),
        server_credentials(options_.tls, {identity_.certificate, identity_.key, ""}),
        service_.get(), log_);
    if (!server) return server.error();
    server_ = std::move(*server);
    return {};
  }

  ControlServerOptions options_;
  Logger log_;
  std::vector<std::string> hosts_;
  std::string announced_host_;
  bool said_loopback_ = false;
  std::set<std::string> said_not_local_;
  session::Addresses addresses_;
  std::filesystem::path state_directory_;
  std::filesystem::path temporary_;
  DirectoryLock lock_;
  net::CertificateAndKey identity_;
  std::string fingerprint_;
  std::vector<net::Fd> sockets_;  ///< Bound, until it serves.
  std::uint16_t port_ = 0;

  std::shared_ptr<session::Store> store_;
  session::Store::Contents left_;  ///< By an earlier control server, until it is taken up.
  net::AsioScheduler scheduler_;
  std::unique_ptr<DataServerProcess> process_;
  std::shared_ptr<dataserver::DataServer> data_server_;
  std::mutex hurry_mutex_;
  std::unique_ptr<session::Manager> manager_;
  std::unique_ptr<auth::Authorizer> authorizer_;
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
void ControlServer::hurry() { impl_->hurry(); }

}  // namespace scistream::control

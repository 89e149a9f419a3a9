#include "control/data_server_host.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "auth/authorizer.hpp"
#include "base/file.hpp"
#include "base/wait_for.hpp"
#include "control/data_server_process.hpp"
#include "control/data_server_service.hpp"
#include "control/grpc_server.hpp"
#include "net/tcp.hpp"
#include "proxy/data_servers.hpp"

namespace scistream::control {

namespace {

using std::chrono::steady_clock;

/// How often an orphan looks at its connections; no time limit is finer than a second.
constexpr std::chrono::milliseconds look{250};

}  // namespace

class DataServerHost::Impl {
 public:
  Impl(DataServerHostOptions options, Logger log)
      : options_(std::move(options)), log_(std::move(log)) {}
  ~Impl() { stop(); }

  Status start() {
    if (auto status = make_private_directory(options_.state_directory); !status) return status;
    auto lock = DirectoryLock::take(options_.state_directory, "s2ds");
    if (!lock) return lock.error();
    lock_ = std::move(*lock);
    relay::Options relay;
    relay.flow_idle = options_.flow_idle;
    auto made = proxy::make_data_server(
        {options_.kind, options_.compat_stunnel, options_.state_directory / "proxies",
         dataserver::NativeOptions{options_.threads, options_.ciphersuites, relay},
         options_.container},
        log_);
    if (!made) return made.error();
    data_server_ = std::move(*made);
    service_ = std::make_unique<DataServerService>(*data_server_, Gate{authorizer(), audit_});
    auto server = options_.listen ? listen_tcp() : listen_socket();
    if (!server) return server.error();
    server_ = std::move(*server);
    return {};
  }

  void ask_status(dataserver::Callback<std::vector<dataserver::SessionStatus>> done) {
    data_server_->status(std::nullopt, std::move(done));
  }

  [[nodiscard]] const std::string& address() const { return address_; }

  void wait() {
    std::unique_lock lock(mutex_);
    if (!options_.orphan_grace) return stopping_.wait(lock, [this] { return stop_; });
    auto alone_since = steady_clock::now();
    auto live_until = alone_since;
    while (!stopping_.wait_for(lock, look, [this] { return stop_; })) {
      const auto now = steady_clock::now();
      if (service_->watchers() > 0) {
        alone_since = now;
        continue;
      }
      if (live_connections() > 0) live_until = now;
      // After the grace: at once when nothing is live, else the grace again after the last one.
      const bool waited = now - alone_since >= *options_.orphan_grace;
      const bool was_live_then = live_until >= alone_since + *options_.orphan_grace;
      if (!waited || (was_live_then && now - live_until < *options_.orphan_grace)) continue;
      log_->warn("no control server for {} s: ending", options_.orphan_grace->count());
      return;
    }
  }

  void request_stop() {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    stopping_.notify_all();
  }

  void stop() {
    cut_everything();
    if (server_) server_->stop(std::chrono::milliseconds(200));
    server_.reset();
    data_server_.reset();
    service_.reset();
    lock_ = DirectoryLock();
  }

 private:
  [[nodiscard]] bool mutual_tls() const { return !options_.ca.empty(); }

  /// Whoever can open the socket, or shows a certificate of the facility's authority, may use it.
  [[nodiscard]] auth::Authorizer& authorizer() {
    return mutual_tls() ? static_cast<auth::Authorizer&>(anyone_) : local_only_;
  }

  Result<std::unique_ptr<GrpcServer>> listen_socket() {
    auto path = data_server_socket(options_.state_directory);
    if (!path) return path.error();
    address_ = "unix:" + *path;
    return GrpcServer::serve_unix(*path, service_.get(), log_);
  }

  Result<std::unique_ptr<GrpcServer>> listen_tcp() {
    TlsFiles files;
    if (mutual_tls()) {
      auto given = read_mutual_tls(options_.ca, options_.certificate, options_.key);
      if (!given) return given.error();
      files = std::move(*given);
    } else if (!is_loopback(options_.listen->host)) {
      return Error{Cause::invalid_argument,
                   "'" + to_string(*options_.listen) +
                       "' is not a loopback address: others may only come with mutual TLS; "
                       "give --ca, --cert and --key"};
    }
    auto sockets = GrpcServer::bind({options_.listen->host}, options_.listen->port);
    if (!sockets) return sockets.error();
    if (const auto bound = net::bound_address(sockets->front().get()))
      address_ = to_string(Endpoint{options_.listen->host, bound->port()});
    return GrpcServer::serve(std::move(*sockets), server_credentials(mutual_tls(), files),
                             service_.get(), log_);
  }

  std::vector<dataserver::SessionStatus> sessions() {
    const auto all = wait_for<std::vector<dataserver::SessionStatus>>(
        [this](auto done) { data_server_->status(std::nullopt, done); });
    return all ? *all : std::vector<dataserver::SessionStatus>{};
  }

  std::uint64_t live_connections() {
    std::uint64_t live = 0;
    for (const auto& session : sessions()) live += session.counters.connections_active;
    return live;
  }

  /// Answers the drains that are still waited for, so that gRPC can end its calls.
  void cut_everything() {
    if (!data_server_) return;
    for (const auto& session : sessions()) {
      (void)wait_for<dataserver::Released>([&](auto done) {
        data_server_->release(session.session, dataserver::Ending::cut, done);
      });
    }
  }

  DataServerHostOptions options_;
  Logger log_;
  DirectoryLock lock_;
  auth::NoAudit audit_;
  auth::LocalOnly local_only_;
  auth::Anyone anyone_;
  std::unique_ptr<dataserver::DataServer> data_server_;
  std::unique_ptr<DataServerService> service_;
  std::unique_ptr<GrpcServer> server_;
  std::string address_;

  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
};

DataServerHost::DataServerHost(DataServerHostOptions options, Logger log)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(log))) {}
DataServerHost::~DataServerHost() = default;

Status DataServerHost::start() { return impl_->start(); }
void DataServerHost::ask_status(dataserver::Callback<std::vector<dataserver::SessionStatus>> done) {
  impl_->ask_status(std::move(done));
}
std::string DataServerHost::address() const { return impl_->address(); }
void DataServerHost::wait() { impl_->wait(); }
void DataServerHost::request_stop() { impl_->request_stop(); }
void DataServerHost::stop() { impl_->stop(); }

}  // namespace scistream::control

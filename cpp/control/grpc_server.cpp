#include "control/grpc_server.hpp"

#include <boost/asio/post.hpp>
#include <future>
#include <list>
#include <map>
#include <set>
#include <utility>

#include "auth/throttle.hpp"
#include "base/clock.hpp"
#include "base/endpoint.hpp"
#include "base/seldom.hpp"
#include "net/acceptor.hpp"
#include "net/destinations.hpp"
#include "net/socket_statistics.hpp"
#include "net/tcp.hpp"
#include "net/unix_socket.hpp"

namespace scistream::control {

namespace {

using Handover = grpc::experimental::ExternalConnectionAcceptor;

/// Callers that may wait unaccepted at each address.
constexpr int backlog = 512;
/// Bytes; the largest are lists of 10,000 ids.
constexpr int largest_message = 2 << 20;
/// Of all connections together.
constexpr std::size_t most_memory = 256U << 20U;
/// Tokens that name many groups are large.
constexpr int largest_metadata = 32 << 10;
/// Of a connection without a call.
constexpr int longest_idle_ms = 300'000;
/// Calls under way go on.
constexpr int longest_connection_ms = 3'600'000;

void set_options(grpc::ServerBuilder& builder) {
  // Notices clients that vanish without a word; those of other facilities answer pings.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // Control servers watch their data server with a ping a second.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 500);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  // What is small on the wire and large behind it is for nobody's good here.
  builder.SetMaxReceiveMessageSize(largest_message);
  // Sizes are looked at when messages are whole; until then this is what holds them.
  builder.SetResourceQuota(grpc::ResourceQuota("sci").Resize(most_memory));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, largest_metadata);
  for (const auto algorithm : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP})
    builder.SetCompressionAlgorithmSupportStatus(algorithm, false);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, longest_idle_ms);
  // Whoever connects and says nothing does not hold a descriptor for long.
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
}

Result<net::Fd> bind_one(const std::string& host, std::uint16_t port) {
  if (host == "0.0.0.0") {
    // Takes IPv4 as well. Fails where the kernel has no IPv6.
    auto both = net::bind_tcp({boost::asio::ip::address_v6::any(), port});
    if (both || both.error().cause == Cause::already_exists) return both;
  }
  const auto address = net::local_endpoint({host, port});
  if (!address) return address.error();
  return net::bind_tcp(*address);
}

Result<std::vector<net::Fd>> bind_all(const std::vector<std::string>& hosts, std::uint16_t port) {
  std::vector<net::Fd> sockets;
  for (const std::string& host : hosts) {
    auto socket = bind_one(host, port);
    if (!socket) return socket.error();
    if (const auto bound = net::bound_address(socket->get())) port = bound->port();
    sockets.push_back(std::move(*socket));
  }
  return sockets;
}

}  // namespace

namespace {

/// How many connections each address has. gRPC does not tell when one ends, so the kernel is asked,
/// and only when there seem to be too many. On one thread.
class OpenConnections {
 public:
  OpenConnections(const Clock& clock, std::size_t most) : clock_(clock), most_(most) {}

  /// For one more of `name`, which is accepted already.
  bool has_room(const std::string& name, const std::set<std::uint16_t>& ports) {
    const bool fits = ++open_[name] <= most_ && open_.size() <= most_names;
    if (!fits && clock_.now() >= next_count_) count(ports);
    if (open_[name] <= most_) return true;
    --open_[name];
    return false;
  }

 private:
  static constexpr std::chrono::seconds between_counts{1};
  static constexpr std::size_t most_names = 10'000;

  void count(const std::set<std::uint16_t>& ports) {
    next_count_ = clock_.now() + between_counts;
    const auto found =
        net::tcp_connections([&ports](std::uint16_t port) { return ports.contains(port); });
    open_.clear();
    // Where the kernel does not tell, how often somebody comes is limited still.
    if (!found) return;
    for (const net::SocketStatistics& each : *found) ++open_[net::owned_by_peer(each.peer.host)];
  }

  const Clock& clock_;
  const std::size_t most_;
  std::map<std::string, std::size_t> open_;
  Clock::time_point next_count_{};
};

}  // namespace

/// The accept loops of one server. Lives on its thread.
class GrpcServer::Doors : public std::enable_shared_from_this<Doors> {
 public:
  Doors(boost::asio::io_context& context, std::vector<net::Fd> sockets,
        std::unique_ptr<Handover> handover, std::optional<ConnectionLimits> limits,
        const Logger& log)
      : handover_(std::move(handover)),
        log_(log),
        accepted_([this](std::size_t, net::Fd client, const net::tcp::endpoint& peer) {
          if (!may_enter(peer)) return;
          Handover::NewConnectionParameters connection;
          connection.fd = client.release();
          handover_->HandleNewConnection(&connection);
        }) {
    if (limits) {
      throttle_.emplace(clock_, auth::Throttle::Limits{limits->burst, limits->per_second});
      open_.emplace(clock_, limits->most);
    }
    for (net::Fd& socket : sockets) {
      acceptors_.emplace_back(context, std::move(socket), acceptors_.size(), "the control port",
                              accepted_, log);
      acceptors_.back().keep_spare();
      if (const auto bound = net::bound_address(acceptors_.back().socket()))
        ports_.insert(bound->port());
    }
  }

  Status listen() {
    for (net::Acceptor& acceptor : acceptors_) {
      net::set_stream_options(acceptor.socket());
      if (auto status = net::listen_tcp(acceptor.socket(), backlog); !status) return status;
    }
    return {};
  }
  void open() {
    for (net::Acceptor& acceptor : acceptors_) acceptor.start(weak_from_this());
  }
  void close() {
    for (net::Acceptor& acceptor : acceptors_) acceptor.close();
  }

 private:
  /// A handshake costs more than to begin one.
  bool may_enter(const net::tcp::endpoint& peer) {
    if (!throttle_) return true;
    const std::string name = net::owned_by_peer(peer.address());
    if (throttle_->take(name) && open_->has_room(name, ports_)) return true;
    if (complaints_.may(clock_.now())) {
      log_->warn(
          "{} connects to the control port too often, or keeps too many connections: some of it is "
          "closed unheard",
          name);
    }
    return false;
  }

  const std::unique_ptr<Handover> handover_;
  const Logger log_;
  const SteadyClock clock_;
  std::optional<auth::Throttle> throttle_;
  std::optional<OpenConnections> open_;
  std::set<std::uint16_t> ports_;
  Seldom complaints_;
  const net::Acceptor::Accepted accepted_;
  std::list<net::Acceptor> acceptors_;
};

GrpcServer::GrpcServer() = default;

Result<std::vector<net::Fd>> GrpcServer::bind(const std::vector<std::string>& hosts,
                                              std::uint16_t port) {
  if (port != 0) return bind_all(hosts, port);
  // What is free on the first host may be held on the next.
  for (int attempt = 0; attempt < 16; ++attempt) {
    auto sockets = bind_all(hosts, 0);
    if (sockets || sockets.error().cause != Cause::already_exists) return sockets;
  }
  return Error{Cause::exhausted, "no port is free on all of the control server's addresses"};
}

Result<std::unique_ptr<GrpcServer>> GrpcServer::serve(
    std::vector<net::Fd> sockets, const std::shared_ptr<grpc::ServerCredentials>& credentials,
    grpc::Service* service, const Logger& log, std::optional<ConnectionLimits> limits) {
  std::unique_ptr<GrpcServer> server(new GrpcServer);
  grpc::ServerBuilder builder;
  set_options(builder);
  // Certificates are looked at when a connection begins: those that lasted then are seen again.
  if (limits) builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, longest_connection_ms);
  using Type = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  auto handover = builder.experimental().AddExternalConnectionAcceptor(Type::FROM_FD, credentials);
  builder.RegisterService(service);
  server->doors_ = std::make_shared<Doors>(server->thread_.at(0), std::move(sockets),
                                           std::move(handover), limits, log);
  server->server_ = builder.BuildAndStart();
  if (!server->server_) {
    return Error{Cause::failure, "gRPC does not start; perhaps it cannot use the certificate"};
  }
  if (auto status = server->doors_->listen(); !status) return status.error();
  boost::asio::post(server->thread_.at(0), [doors = server->doors_] { doors->open(); });
  return server;
}

Result<std::unique_ptr<GrpcServer>> GrpcServer::serve_unix(const std::string& path,
                                                           grpc::Service* service,
                                                           const Logger& log) {
  auto socket = net::bind_unix(path);
  if (!socket) return socket.error();
  std::vector<net::Fd> sockets;
  sockets.push_back(std::move(*socket));
  auto server = serve(std::move(sockets), grpc::InsecureServerCredentials(), service, log);
  if (server) {
    (*server)->unix_path_ = path;
  } else {
    ::unlink(path.c_str());
  }
  return server;
}

void GrpcServer::stop(std::chrono::milliseconds grace) {
  if (doors_) {
    std::promise<void> closed;
    boost::asio::post(thread_.at(0), [&] {
      doors_->close();
      closed.set_value();
    });
    closed.get_future().wait();
    if (!unix_path_.empty()) ::unlink(unix_path_.c_str());
    thread_.stop();
    doors_.reset();
  }
  if (!server_) return;
  server_->Shutdown(std::chrono::system_clock::now() + grace);
  server_->Wait();
  server_.reset();
}

GrpcServer::~GrpcServer() { stop(std::chrono::milliseconds(0)); }

}  // namespace scistream::control

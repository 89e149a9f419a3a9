#include "control/grpc_server.hpp"

#include <sys/stat.h>
#include <sys/un.h>

#include "base/endpoint.hpp"
#include "net/fd.hpp"
#include "net/tcp.hpp"

namespace scistream::control {

namespace {

void set_options(grpc::ServerBuilder& builder) {
  // A second server on the same port would steal calls silently.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Notices clients that vanish without a word; those of other facilities answer pings.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // Control servers watch their data server with a ping a second.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 500);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
}

/// A port that is free on every host, for port 0 on several hosts.
Result<std::uint16_t> free_port(const std::vector<std::string>& hosts) {
  for (int attempt = 0; attempt < 16; ++attempt) {
    std::uint16_t port = 0;
    std::vector<net::Fd> held;
    Status status;
    for (const std::string& host : hosts) {
      const auto address = net::local_endpoint({host, port});
      if (!address) return address.error();
      auto socket = net::bind_tcp(*address);
      if (!socket) {
        status = socket.error();
        break;
      }
      if (const auto bound = net::bound_address(socket->get())) port = bound->port();
      held.push_back(std::move(*socket));
    }
    if (status) return port;
    if (status.error().cause != Cause::already_exists) return status.error();
  }
  return Error{Cause::exhausted, "no port is free on all of the control server's addresses"};
}

}  // namespace

Status GrpcServer::check_port(const std::vector<std::string>& hosts, std::uint16_t port) {
  for (const std::string& host : hosts) {
    const auto address = net::local_endpoint({host, port});
    if (!address) return address.error();
    if (auto socket = net::bind_tcp(*address); !socket) return socket.error();
  }
  return {};
}

Result<std::unique_ptr<GrpcServer>> GrpcServer::listen(
    const std::vector<std::string>& hosts, std::uint16_t port,
    const std::shared_ptr<grpc::ServerCredentials>& credentials, grpc::Service* service) {
  if (port == 0) {
    auto free = free_port(hosts);
    if (!free) return free.error();
    port = *free;
  } else if (auto status = check_port(hosts, port); !status) {
    // gRPC says only that it failed; bind says why.
    return status.error();
  }
  grpc::ServerBuilder builder;
  set_options(builder);
  std::vector<int> ports(hosts.size(), 0);
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    builder.AddListeningPort(to_string(Endpoint{hosts[i], port}), credentials, &ports[i]);
  }
  builder.RegisterService(service);
  auto server = builder.BuildAndStart();
  for (const int bound : ports) {
    if (!server || bound != port) {
      return Error{Cause::already_exists,
                   "cannot listen on " + to_string(Endpoint{hosts.front(), port}) +
                       ": the port is in use, or the certificate is not usable"};
    }
  }
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(server), port));
}

Result<std::unique_ptr<GrpcServer>> GrpcServer::listen_unix(const std::string& path,
                                                            grpc::Service* service) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Error{Cause::invalid_argument, "the socket path '" + path + "' is longer than " +
                                              std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                                              " bytes"};
  }
  grpc::ServerBuilder builder;
  set_options(builder);
  builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
  builder.RegisterService(service);
  auto server = builder.BuildAndStart();
  if (!server) return Error{Cause::already_exists, "cannot listen on the socket '" + path + "'"};
  ::chmod(path.c_str(), 0600);
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(server), 0));
}

void GrpcServer::stop(std::chrono::milliseconds grace) {
  if (!server_) return;
  server_->Shutdown(std::chrono::system_clock::now() + grace);
  server_->Wait();
  server_.reset();
}

GrpcServer::~GrpcServer() { stop(std::chrono::milliseconds(0)); }

}  // namespace scistream::control

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "control/credentials.hpp"
#include "control/grpc.hpp"

namespace scistream::control {

/// One gRPC server with one service. Owns its ports; the service must outlive it.
class GrpcServer {
 public:
  /// Serves on every host of `hosts` at the same port; port 0 takes a free one. `already_exists`
  /// if one of them is held: a port is never shared with another process.
  static Result<std::unique_ptr<GrpcServer>> listen(
      const std::vector<std::string>& hosts, std::uint16_t port,
      const std::shared_ptr<grpc::ServerCredentials>& credentials, grpc::Service* service);

  /// Whether `listen` would get this port, other than 0, or why not.
  static Status check_port(const std::vector<std::string>& hosts, std::uint16_t port);

  /// Serves on a Unix socket that only this user can reach.
  static Result<std::unique_ptr<GrpcServer>> listen_unix(const std::string& path,
                                                         grpc::Service* service);

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

  /// Ends calls that are still open after `grace`, and waits for all of them. Not on gRPC's
  /// threads.
  void stop(std::chrono::milliseconds grace);

  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

 private:
  GrpcServer(std::unique_ptr<grpc::Server> server, std::uint16_t port)
      : server_(std::move(server)), port_(port) {}

  std::unique_ptr<grpc::Server> server_;
  std::uint16_t port_;
};

}  // namespace scistream::control

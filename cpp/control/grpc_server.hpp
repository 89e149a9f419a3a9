#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/log.hpp"
#include "control/credentials.hpp"
#include "control/grpc.hpp"
#include "net/fd.hpp"
#include "net/io_threads.hpp"

namespace scistream::control {

/// One gRPC server with one service, on sockets that this accepts from by itself: gRPC's own
/// listener is deaf for good once descriptors have run out. Owns the sockets and one thread; the
/// service must outlive it.
class GrpcServer {
 public:
  /// Binds every host of `hosts` to the same port, 0 for one that is free on all of them, without
  /// serving yet: nobody else can take it from here on. 0.0.0.0 is every address, of IPv6 as well.
  /// `already_exists` if it is held, `invalid_argument` names a host that is none.
  static Result<std::vector<net::Fd>> bind(const std::vector<std::string>& hosts,
                                           std::uint16_t port);

  /// How often one address may connect, and how many connections it may have; more are closed
  /// unheard. IPv6 counts by /64.
  struct ConnectionLimits {
    double burst = 200;
    double per_second = 50;
    std::size_t most = 500;
  };

  /// Serves on bound sockets.
  static Result<std::unique_ptr<GrpcServer>> serve(
      std::vector<net::Fd> sockets, const std::shared_ptr<grpc::ServerCredentials>& credentials,
      grpc::Service* service, const Logger& log,
      std::optional<ConnectionLimits> limits = std::nullopt);

  /// Serves on a Unix socket that only this user can reach, and removes it at the end.
  static Result<std::unique_ptr<GrpcServer>> serve_unix(const std::string& path,
                                                        grpc::Service* service, const Logger& log);

  /// Accepts no more, ends calls that are still open after `grace`, and waits for all of them. The
  /// ports are free then. Not on gRPC's threads.
  void stop(std::chrono::milliseconds grace);

  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

 private:
  class Doors;
  GrpcServer();

  net::IoThreads thread_{1, "sci-accept"};
  std::shared_ptr<Doors> doors_;
  std::unique_ptr<grpc::Server> server_;
  std::string unix_path_;
};

}  // namespace scistream::control

#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "scistream/client_options.hpp"
#include "scistream/endpoint.hpp"
#include "scistream/error.hpp"
#include "scistream/export.hpp"
#include "scistream/secret.hpp"
#include "scistream/session_key.hpp"

namespace scistream::inline v0 {

/// An application, and the session that it takes part in.
struct AppControllerOptions {
  std::string uid;             ///< The session's id.
  Endpoint s2cs;               ///< The control server of the application's facility.
  Role role = Role::producer;  ///< Of the application.
  std::vector<Endpoint>
      listeners;         ///< Where the producer application listens; a consumer has none.
  Secret key;            ///< The session's application key of this facility, 32 bytes, or empty.
  ClientOptions client;  ///< How the control server is reached.
};

/// How a hello is said.
struct HelloOptions {
  bool wait_ready = false;  ///< Return only when the session is set up and its targets are known.
  std::chrono::milliseconds patience{0};       ///< For a session that is not there yet.
  std::chrono::milliseconds timeout{180'000};  ///< For the set-up, with `wait_ready`.
};

/// The application controller: announces an application to its own facility's control server. The
/// session does not end with this object. Every function may be called from any thread; one that
/// was moved from may only be destroyed or assigned to. Uses gRPC, which does not survive fork().
class SCISTREAM_EXPORT AppController {
 public:
  /// Connects to nothing yet. `invalid_argument`: an id that is none, a key of another length, or a
  /// producer without listeners; as UserClient::create otherwise.
  [[nodiscard]] static Result<AppController> create(AppControllerOptions options);

  AppController(AppController&& other) noexcept;
  AppController& operator=(AppController&& other) noexcept;
  ~AppController();

  /// Says hello: the request that waits for it goes on. May be said again. Blocks; returns the
  /// facility's listeners, to which a consumer connects. `not_found`: there is no such session;
  /// `unauthenticated`: the key is missing or wrong, or the server's certificate is not trusted;
  /// `unavailable`: the control server cannot be reached; `timeout`: it was not set up in time;
  /// `cancelled`: `stop` was requested.
  [[nodiscard]] Result<std::vector<Endpoint>> hello(const HelloOptions& options = {},
                                                    std::stop_token stop = {});

 private:
  class Impl;
  explicit AppController(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace scistream::inline v0

#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "dataserver/data_server.hpp"

namespace scistream::proxy {

/// A container engine that speaks the Docker Engine API, at a Unix socket (API 1.41, Docker 20.10).
/// What blocks gives up after some seconds. Any thread.
///
/// Errors: `unavailable` if nobody answers, `permission_denied` if this user may not use it,
/// `not_found` and `already_exists` of images and containers; each with what the engine says.
class DockerEngine {
 public:
  /// At `unix:///PATH`; `invalid_argument` for anything else.
  static Result<DockerEngine> at(const std::string& address);
  /// Where DOCKER_HOST says, else where engines are.
  static std::string default_address();

  /// Whether there is such an image.
  [[nodiscard]] Status has_image(const std::string& image) const;
  /// Makes a container, as the API describes one; its id.
  [[nodiscard]] Result<std::string> create(const std::string& name,
                                           const nlohmann::json& container) const;
  [[nodiscard]] Status start(const std::string& id) const;
  /// Ends it, and removes it; one that is gone already is no error.
  [[nodiscard]] Status remove(const std::string& id) const;
  /// What it has said, both streams.
  [[nodiscard]] Result<std::string> logs(const std::string& id) const;
  /// The ids of those with this label, running or not.
  [[nodiscard]] Result<std::vector<std::string>> labelled(const std::string& name,
                                                          const std::string& value) const;
  /// Waits for its end, however long that takes: `done` comes with its exit code. `watched` comes
  /// before, once the engine watches it: what is started then cannot end unseen.
  void async_wait(boost::asio::io_context& context, const std::string& id,
                  std::function<void()> watched, dataserver::Callback<int> done) const;

 private:
  explicit DockerEngine(std::string socket) : socket_(std::move(socket)) {}

  std::string socket_;
};

}  // namespace scistream::proxy

#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "dataserver/data_server.hpp"
#include "net/child.hpp"

namespace scistream::proxy {

/// What one run of a proxy is to forward.
struct Work {
  std::filesystem::path folder;     ///< Its own, which nobody else may read; it runs there.
  std::vector<Endpoint> listeners;  ///< Its descriptor 3 + i listens there.
  std::vector<Endpoint> targets;    ///< Of each listener; addresses, not names.
};

/// One session's proxy, as its program wants to be configured, steered and read. Belongs to a
/// supervisor, on whose thread everything happens; callbacks come once, unless it is destroyed
/// before.
class Steering {
 public:
  virtual ~Steering() = default;

  /// Writes the configuration; how to start the program.
  virtual Result<net::ChildPlan> prepare(const Work& work) = 0;
  /// Takes what it said; whether that is worth an operator's attention.
  virtual bool take(std::string_view line) = 0;
  /// Once the program takes connections; `unavailable` or `timeout` if it does not.
  virtual void wait_ready(dataserver::Callback<void> done) = 0;
  /// New targets for connections to come; live ones keep theirs. `child` is what prepare() started.
  virtual void retarget(const Work& work, const net::Child& child,
                        dataserver::Callback<void> done) = 0;
  /// What this run has counted, without `idle`.
  virtual void count(dataserver::Callback<dataserver::Counters> done) = 0;
  /// The signal at which it takes no more connections and ends with the last one.
  [[nodiscard]] virtual int drain_signal() const = 0;
};

/// A kind of proxy program, as installed here. Any thread.
class Program {
 public:
  virtual ~Program() = default;

  /// As `--type` spells it.
  [[nodiscard]] virtual std::string kind() const = 0;
  /// What is installed.
  [[nodiscard]] virtual std::string version() const = 0;
  virtual std::shared_ptr<Steering> steer(boost::asio::io_context& context) const = 0;
};

/// The program of that name on the PATH, or where administrators' programs are; `not_found` names
/// the Debian package that has it.
Result<std::filesystem::path> find_program(const std::string& name, const std::string& package);

/// The first number with dots in what a program says when asked for its version; `unavailable` if
/// it says nothing of the kind within a few seconds. Blocks.
Result<std::string> version_of(const std::filesystem::path& program, const std::string& flag);

}  // namespace scistream::proxy

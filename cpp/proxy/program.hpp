#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "dataserver/data_server.hpp"
#include "net/child.hpp"
#include "net/tls_keys.hpp"
#include "proxy/socket_table.hpp"
#include "scistream/session_key.hpp"

namespace scistream::proxy {

/// The descriptor that a program has its first listener as.
inline constexpr int first_descriptor = 3;

/// What one run of a proxy is to forward.
struct Work {
  SessionKey session;
  std::filesystem::path folder;     ///< Its own, which nobody else may read; it runs there.
  std::vector<Endpoint> listeners;  ///< Its descriptor 3 + i listens there.
  bool datagrams = false;           ///< Those behind take datagrams at the same places.
  std::vector<Endpoint> targets;    ///< Of each listener; addresses, not names.
  /// Of its WAN side, which is that of the clients for a producer, of the targets for a consumer.
  std::string transport = dataserver::transport::tcp;
  std::shared_ptr<const net::KeyRing> keys;  ///< Of transport `tls`.
  bool announces = false;     ///< Its targets are told who connects (PROXY protocol).
  bool is_announced = false;  ///< It is told so itself, by a relay before it.

  /// How many it inherits.
  [[nodiscard]] std::size_t sockets() const { return listeners.size() * (datagrams ? 2 : 1); }
};

/// What one run has counted.
struct Reading {
  dataserver::Counters counters;  ///< Without `idle`.
  /// Those that live, without their targets.
  std::vector<dataserver::ConnectionStatus> connections;

  /// Counts one more that lives.
  void add(const dataserver::ConnectionStatus& live);
};

/// One session's proxy, as its program wants to be configured, steered and read. Belongs to a
/// supervisor, on whose thread everything happens; callbacks come once, unless it is destroyed
/// before. The child that it is given is what prepare() described.
class Steering {
 public:
  virtual ~Steering() = default;

  /// Writes the configuration; how to start the program.
  virtual Result<net::ChildPlan> prepare(const Work& work) = 0;
  /// Takes what it said; whether that is worth an operator's attention.
  virtual bool take(std::string_view line) = 0;
  /// Once the program takes connections; `unavailable`, or `timeout` if it does not within `limit`.
  virtual void wait_ready(const std::shared_ptr<net::Child>& child, std::chrono::seconds limit,
                          dataserver::Callback<void> done) = 0;
  /// New targets or keys for connections to come; live ones keep theirs.
  virtual void retarget(const Work& work, const std::shared_ptr<net::Child>& child,
                        dataserver::Callback<void> done) = 0;
  virtual void read(dataserver::Callback<Reading> done) = 0;
  /// Whether read() needs nobody else, so that it has the last of a program that has ended.
  [[nodiscard]] virtual bool reads_afterwards() const { return false; }
  /// From now on it takes no more connections, and ends with the last one: by itself, or once
  /// `idle`, which may come more than once and from within read(), has had it ended. `listeners`
  /// are the descriptors that its own are copies of, and are closed afterwards.
  virtual void drain(const Work& work, const std::shared_ptr<net::Child>& child,
                     const std::vector<int>& listeners, std::function<void()> idle) = 0;
};

/// Where a proxy is steered.
struct Site {
  boost::asio::io_context& context;
  std::shared_ptr<SocketTable> sockets;
};

/// A kind of proxy program, as it can be run here. Any thread.
struct Program {
  std::string kind;     ///< As `--type` spells it.
  std::string version;  ///< Of what is installed.
  /// What its sessions may have.
  std::vector<std::string> transports{dataserver::transport::tcp, dataserver::transport::tls};
  /// What it does by itself of that; the rest passes a relay before it.
  std::vector<std::string> own_transports{dataserver::transport::tcp};
  /// The suites whose keys it can use, where it does `tls` by itself.
  std::vector<net::Ciphersuite> ciphersuites;
  bool datagrams = false;  ///< It forwards them, too.
  std::function<std::shared_ptr<Steering>(const Site& site)> steer;
  std::chrono::seconds start_limit{5};  ///< Until it takes connections.
  std::chrono::seconds end_limit{3};    ///< That it may take to end before it is killed.
  /// Ends what an earlier data server has left, other than processes; may be empty. Blocks.
  std::function<void(const Logger& log)> clear_away;
};

/// The program of that name on the PATH, or where administrators' programs are; `not_found` names
/// the Debian package that has it.
Result<std::filesystem::path> find_program(const std::string& name, const std::string& package);

/// All that a program says when asked with one flag; `unavailable` if it does not end within a few
/// seconds. Blocks.
Result<std::string> said_by(const std::filesystem::path& program, const std::string& flag);

/// One of our own commands: beside this one, or on the PATH. `not_found` if it is not there.
Result<std::filesystem::path> own_program(const std::string& name);

/// The first number with dots in a text, `2.6.12` of `HAProxy version 2.6.12-1+deb12u4`; empty if
/// there is none.
std::string version_in(std::string_view text);

/// That of what a program says when asked for its version; `unavailable` if it says nothing of the
/// kind within a few seconds. Blocks.
Result<std::string> version_of(const std::filesystem::path& program, const std::string& flag);

/// An address as it is written: `192.0.2.1` of `::ffff:192.0.2.1`, which is what a socket for both
/// families calls it.
std::string unmapped(std::string host);

/// What tells one who connected to a listener of this host from any other who lives.
std::string name_of(const std::string& peer, std::uint16_t listener);

/// The live connections that came in at these, as the kernel counted them a moment ago, but not
/// before `since`.
Result<std::vector<dataserver::ConnectionStatus>> connections_at(
    const std::vector<Endpoint>& listeners, SocketTable& sockets, SocketTable::Time since);

}  // namespace scistream::proxy

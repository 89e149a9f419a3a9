#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "auth/identified_only.hpp"
#include "base/endpoint.hpp"
#include "base/log.hpp"
#include "dataserver/data_server.hpp"
#include "proxy/container_options.hpp"
#include "session/types.hpp"

namespace scistream::control {

/// Where the data server is.
enum class DataServerPlace {
  process,  ///< Beside the control server, started if none answers in the state folder.
  inside,   ///< In this process; it ends with the control server.
  remote,   ///< Wherever `data_server` says.
};

/// What a control server is started with; the defaults are those of the command `s2cs`.
struct ControlServerOptions {
  std::string listener_ip = "0.0.0.0";
  std::uint16_t port = 5000;          ///< 0: a free one.
  std::string type = "Native";        ///< Kind of data server, any case.
  bool compat_stunnel = false;        ///< Stunnel as SciStream 1.x has it: encrypts nothing.
  proxy::ContainerOptions container;  ///< Of the kinds that run in containers.
  PortRange port_range{5100, 5200};
  std::string advertise;  ///< HOST[:FIRSTPORT]
  std::string wan_ip;     ///< Empty: listener_ip.
  std::string lan_ip;     ///< Empty: listener_ip.
  std::chrono::milliseconds timeout{180'000};
  std::uint64_t capacity_mbps = 0;  ///< 0: unlimited.
  std::chrono::milliseconds max_session{0};
  std::chrono::milliseconds idle_limit{std::chrono::hours(24)};
  std::filesystem::path
      state_directory;  ///< Empty: one per control port in the user's state folder.
  /// Seals what is kept of sessions there; made if it is not there. Empty: it is not sealed.
  std::filesystem::path facility_key;
  std::chrono::seconds orphan_grace{60};
  bool tls = true;
  std::filesystem::path
      server_crt;  ///< With server_key; empty: the working folder's, else our own.
  std::filesystem::path server_key;
  bool require_encryption = false;  ///< Refuse sessions that are plain between the facilities.
  /// Of the data server that is started here, in order of preference.
  std::string ciphersuites = "AES-128-GCM";
  std::chrono::milliseconds flow_idle{60'000};  ///< A flow of datagrams ends after so much silence.
  bool insecure_no_auth = false;  ///< Serve others than this machine without knowing who they are.
  /// How users are known; empty: not at all.
  std::optional<auth::IdentityOptions> identity;
  std::filesystem::path
      client_ca;                 ///< Authority of users' certificates, PEM; empty: none is asked.
  std::filesystem::path policy;  ///< Who may do what; empty: users have sessions of their own.
  std::string policy_text;       ///< The same as a text, instead of a file.
  std::filesystem::path audit;   ///< Empty: `audit.jsonl` in the state folder.
  /// Networks in which producers' applications may be; empty: those that this machine is in.
  std::vector<std::string> allow_target;
  /// Networks in which other facilities' listeners may be; empty: anywhere but special addresses.
  std::vector<std::string> allow_peer;
  DataServerPlace data_server_place = DataServerPlace::process;
  /// For `inside`: makes one of a user's own, instead of one of `type`.
  std::function<Result<std::unique_ptr<dataserver::DataServer>>(const Logger&)> own_data_server;
  std::string data_server;               ///< For `remote`: unix:PATH or HOST:PORT.
  std::filesystem::path data_server_ca;  ///< PEM; with certificate and key: mutual TLS.
  std::filesystem::path data_server_crt;
  std::filesystem::path data_server_key;
  std::filesystem::path data_server_executable;  ///< For `process`: empty finds `s2ds`.
  bool verbose = false;
};

/// A facility's control server (S2CS): the Control service, its sessions and its data server.
///
/// Owns everything below it. `start`, `stop` and the destructor are to be called from one thread,
/// the others from any. The destructor cuts what `stop` has not ended.
class ControlServer {
 public:
  ControlServer(ControlServerOptions options, Logger log);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  /// Serves when it returns. `invalid_argument`: an option, named; `already_exists`: the port or
  /// the state folder is held, by whom; nothing is left behind then.
  Status start();

  /// Where clients reach it: the announced host, or the address it is bound to.
  [[nodiscard]] Endpoint endpoint() const;
  /// SHA-256 of its certificate; empty without TLS.
  [[nodiscard]] std::string fingerprint() const;
  /// The certificate clients must trust, PEM; empty without TLS.
  [[nodiscard]] std::string certificate() const;
  [[nodiscard]] std::filesystem::path state_directory() const;

  /// Takes no new session, waits up to `drain` for live connections, ends every session and then
  /// the data server if it was started here. Safe to repeat.
  void stop(std::chrono::milliseconds drain);
  /// Answers on the thread that all sessions live on; not at all before `start` or after `stop`.
  /// Callable from any thread.
  void ask_capacity(std::function<void(const session::Capacity&)> done);
  /// Reads the policy and the certificate anew, and goes on in a new audit log where the old one
  /// was moved away; the error says what is wrong, and what was in force stays so. As `start`, from
  /// one thread.
  Status reload();
  /// Makes a `stop` that is waiting cut at once. Callable from any thread.
  void hurry();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace scistream::control

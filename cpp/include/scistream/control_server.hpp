#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "scistream/authenticator.hpp"
#include "scistream/data_server.hpp"
#include "scistream/endpoint.hpp"
#include "scistream/error.hpp"
#include "scistream/export.hpp"
#include "scistream/log.hpp"

namespace scistream::inline v0 {

/// What a control server is started with: the options of the command `s2cs`, with its defaults,
/// and what only a program can give.
struct ControlServerOptions {
  std::string listener_ip = "0.0.0.0";  ///< Address to listen on and to announce.
  std::uint16_t port = 5000;            ///< Control port; 0 takes a free one.
  std::string type = "Native";          ///< Kind of data server, any case.
  /// A data server of one's own, instead of one of `type`.
  std::shared_ptr<DataServer> own_data_server;
  PortRange port_range{5100, 5200};            ///< The ports of the sessions' listeners.
  std::string advertise;                       ///< `HOST[:FIRSTPORT]` that others use, behind NAT.
  std::string wan_ip;                          ///< Of producers' listeners; empty is `listener_ip`.
  std::string lan_ip;                          ///< Of consumers' listeners; empty is `listener_ip`.
  std::chrono::milliseconds timeout{180'000};  ///< For hello after a request, update after hello.
  std::uint64_t capacity_mbps = 0;             ///< Mbit/s that can be leased; 0 is unlimited.
  std::chrono::milliseconds max_session{0};    ///< Longest session after set-up; 0 is unlimited.
  /// Without a connection a session ends after so long; 0 is never.
  std::chrono::milliseconds idle_limit{std::chrono::hours(24)};
  /// Folder for certificate and lock. Empty: one per address and port in the user's state folder,
  /// and a temporary one with port 0.
  std::filesystem::path state_dir;
  bool tls = true;                   ///< Whether the control port speaks TLS.
  std::filesystem::path server_crt;  ///< PEM; empty makes one, or takes the working folder's.
  std::filesystem::path server_key;  ///< Its private key file, PEM.
  bool insecure_no_auth = false;     ///< Serve others than this machine, whoever they are.
  /// Its client id at an authorization server, which is asked whom a token was given to.
  std::string client_id;
  std::filesystem::path client_secret_file;  ///< File of mode 0600 with its secret there.
  /// Where that server answers (RFC 7662).
  std::string introspection_url = "https://auth.globus.org/v2/oauth2/token/introspect";
  std::vector<std::string> issuers;  ///< Of signed tokens (JWT) to accept, their addresses.
  std::string audience;              ///< That these must be for; empty is `client_id`.
  /// That tokens must have; empty is the issuer's for `client_id`, and for signed ones none.
  std::string scope;
  std::filesystem::path identity_ca;  ///< Of providers' certificates, PEM; empty: the system's.
  /// Knows users by their tokens in a way of one's own.
  std::shared_ptr<Authenticator> own_authenticator;
  std::size_t max_sessions_per_user = 100;  ///< At a time, where the policy says nothing else.
  std::filesystem::path client_ca;  ///< Accept users with a certificate of this authority, PEM.
  std::filesystem::path policy;     ///< Who may do what, TOML; empty is sessions of one's own.
  std::string policy_text;          ///< The same as a text, instead of a file.
  /// Where decisions are kept, a JSON object a line. Empty: `audit.jsonl` in the state folder,
  /// where users are known.
  std::filesystem::path audit;
  /// Networks, `network[:ports]`, of producers' applications; empty: those of this machine.
  std::vector<std::string> allow_target;
  /// Networks of other facilities' listeners; empty: any but special addresses.
  std::vector<std::string> allow_peer;
  std::filesystem::path facility_key;  ///< What is kept of sessions is sealed with; may be empty.
  LogCallback log;                     ///< Empty: nothing is logged.
};

/// A facility: a control server (S2CS) with its data server, both inside this process. Serves from
/// the moment it is made until it is stopped or dies.
///
/// Every function may be called from any thread but its log callback's, and waits for a `stop` or
/// `reload` that is under way; one that was moved from may only be destroyed or assigned to. Uses
/// gRPC, which does not survive fork().
class SCISTREAM_EXPORT ControlServer {
 public:
  /// Serves when it returns. `invalid_argument`: an option is wrong, named as the flag of `s2cs`;
  /// `already_exists`: the port or the state folder is held, the message says by whom;
  /// `permission_denied`: it would serve others than this machine, or a file with a secret can be
  /// read by others; `not_found`: there is no such file. Nothing is left behind then.
  [[nodiscard]] static Result<ControlServer> start(const ControlServerOptions& options);

  ControlServer(ControlServer&& other) noexcept;
  /// Stops what was there before.
  ControlServer& operator=(ControlServer&& other) noexcept;
  /// Stops at once; connections are reset.
  ~ControlServer();

  /// Where clients reach it.
  [[nodiscard]] Endpoint endpoint() const;
  /// SHA-256 of its certificate; empty without TLS.
  [[nodiscard]] std::string fingerprint() const;
  /// The certificate that clients must trust, PEM; empty without TLS.
  [[nodiscard]] std::string certificate() const;
  /// Whether it serves.
  [[nodiscard]] bool running() const;

  /// Reads the policy and the certificate again, and begins a new audit log if it was moved.
  /// `invalid_argument`: what was read is wrong, and what was in force stays so;
  /// `failed_precondition`: it is stopped.
  Status reload();
  /// Takes no new session, waits up to `drain` for live connections, or until `stop` is requested,
  /// ends every session and frees the ports. May be called again.
  void stop(std::chrono::milliseconds drain = std::chrono::seconds(30), std::stop_token stop = {});

 private:
  class Impl;
  explicit ControlServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace scistream::inline v0

#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "client/half_session.hpp"
#include "client/interrupt.hpp"
#include "client/session_book.hpp"
#include "client/session_run.hpp"
#include "client/token_source.hpp"
#include "net/asio_scheduler.hpp"
#include "net/certificate.hpp"

namespace scistream::client {

/// How a client reaches control servers.
struct ClientOptions {
  bool tls = true;
  std::string roots;                      ///< PEM; empty: the system's authorities.
  bool use_pins = false;                  ///< Before `roots`, where a server is pinned (Pins).
  std::filesystem::path certificate;      ///< Shown to servers, PEM, with `key`; empty: none.
  std::filesystem::path key;              ///< Both are read again when they change.
  std::string token;                      ///< For every server; empty: as `tokens` says.
  std::shared_ptr<TokenSource> tokens;    ///< Which token is for which server; empty: none.
  std::string scope;                      ///< Of the login to use; empty: as `tokens` knows.
  std::filesystem::path state_directory;  ///< Where sessions are remembered; empty: nowhere.
};

/// Adds sessions to those known; one control server under two names tells of each twice.
void merge(std::vector<session::SessionView>& views, const std::vector<session::SessionView>& more);

/// A session that is remembered, and what is known of it now.
struct RequestedSession {
  std::string uid;
  std::int64_t created = 0;  ///< Seconds since 1970.
  std::vector<Endpoint> servers;
  std::vector<session::SessionView> views;
  std::vector<Error> errors;  ///< Why others of its servers, which are named, say nothing.
};

/// Servers that could not be asked, and why.
using Silent = std::vector<std::pair<Endpoint, Error>>;

/// All of them.
struct SessionList {
  std::vector<RequestedSession> sessions;
  Silent silent;
};

/// The user client (S2UC): whole sessions between two facilities. Every function blocks until it is
/// done and may be called from any thread but its own scheduler's; all end, by their deadlines at
/// the latest. Owns its connections, one a control server, and the thread that answers run on.
class UserClient {
 public:
  explicit UserClient(ClientOptions options);
  ~UserClient();
  UserClient(const UserClient&) = delete;
  UserClient& operator=(const UserClient&) = delete;

  /// Sets a session up, remembers it. `observe` runs on the scheduler. When it fails nothing stays
  /// reserved. `interrupt` makes it give up, with `cancelled`.
  Result<SessionResult> request(const Endpoint& prod, const Endpoint& cons, SessionRequest request,
                                SessionRun::Observe observe = nullptr,
                                Interrupt* interrupt = nullptr);

  /// Sets one facility's half of a session up, remembers it. As `request`, otherwise; `failed_at`
  /// gets the step that failed.
  Result<HalfResult> request_half(const Endpoint& server, HalfRequest request,
                                  HalfSession::Observe observe = nullptr,
                                  Interrupt* interrupt = nullptr, HalfStep* failed_at = nullptr);

  /// Ends a session at these control servers, in parallel; forgets it unless it is elsewhere as
  /// well. Already ended is a success;
  /// `not_found` only if none of them ever knew it.
  Status release(const std::string& uid, const std::vector<Endpoint>& servers);
  /// As `release`, but closes the listeners only, and returns when the last live connection has
  /// ended. `interrupt` makes it give up, with `cancelled`; the session ends all the same.
  Status drain(const std::string& uid, const std::vector<Endpoint>& servers,
               Interrupt* interrupt = nullptr);

  /// Knows nothing of a session any more, nor its keys. What is left of it goes on, and ends by
  /// itself if its control servers say so.
  void forget(const std::string& uid) const;

  /// Gives a session another rate at all of these control servers, or at none: where one refuses
  /// (`exhausted`: more than it has to lease), the others go back to the rate before. Returns
  /// whether it is leased everywhere. `invalid_argument`, `not_found`.
  Result<bool> set_rate(const std::string& uid, long long mbps,
                        const std::vector<Endpoint>& servers);

  /// The sessions of this id at these servers; `not_found` if none has it.
  /// `silent` gets those that did not answer while others did. `interrupt` makes this, `info` and
  /// `watch` give up, with `cancelled`.
  Result<std::vector<session::SessionView>> status(
      const std::string& uid, const std::vector<Endpoint>& servers,
      session::Detail detail = session::Detail::session, Silent* silent = nullptr,
      Interrupt* interrupt = nullptr);

  /// The sessions that are remembered, the oldest first, asked for at all their control servers at
  /// once. Those that none of these shows to this user are left out, and forgotten, keys as well, a
  /// week after their last request: others of the same state folder may have them shown.
  /// `cancelled`: interrupted; what a server does not say is no error of the whole.
  Result<SessionList> sessions(Interrupt* interrupt = nullptr);

  Result<control::ServerInfo> info(const Endpoint& server, Interrupt* interrupt = nullptr);

  /// Told, on the scheduler, of a server whose events came to an end before the session did.
  using Lost = std::function<void(const Endpoint&, const Error&)>;
  /// Events of a session from these servers until all of it has ended there, until interrupted, or
  /// until none of them can be reached any more. A connection that breaks is opened again, for some
  /// seconds; then the present states come once more.
  Status watch(const std::string& uid, const std::vector<Endpoint>& servers,
               std::chrono::milliseconds period,
               std::function<void(const session::SessionEvent&)> observe, Lost lost = nullptr,
               Interrupt* interrupt = nullptr);

  /// Where a remembered session lives, without duplicates.
  [[nodiscard]] Result<std::vector<Endpoint>> servers_of(const std::string& uid) const;
  [[nodiscard]] const SessionBook& book() const { return book_; }
  /// What a server is shown of the user; empty: nothing. As TokenSource::token_for().
  [[nodiscard]] Result<Secret> token_for(const Endpoint& server) const;
  [[nodiscard]] Scheduler& scheduler() { return scheduler_; }
  /// The connection to a control server, made on first use.
  control::ControlClient& at(const Endpoint& server);

 private:
  [[nodiscard]] control::ServerAccess access_to(const Endpoint& server) const;
  /// What is shown to servers now; empty: nothing.
  [[nodiscard]] Result<net::CertificateAndKey> own_certificate();

  /// Runs `set_up` with its entry in the book: one of a session that fails is taken out again,
  /// one that was there before stays as it was unless the session takes its place.
  template <class T, class SetUp>
  Result<T> remembered(const BookEntry& entry, SetUp set_up);
  /// What the answers of these servers to a release amount to; forgets what has ended.
  Status ended(const std::string& uid, const std::vector<Endpoint>& servers,
               const std::vector<Status>& answers);
  /// Whether no other server than these, which had it if `is_theirs`, may have a session.
  bool is_nowhere_else(const std::string& uid, const std::vector<Endpoint>& servers,
                       bool is_theirs);
  ClientOptions options_;
  SessionBook book_;
  net::AsioScheduler scheduler_;
  net::AsioScheduler logins_{"sci-logins"};  ///< What asks providers of tokens.
  std::mutex own_mutex_;                     ///< Of this one.
  std::optional<net::CertificateAndKey> own_of_pipe_;
  std::mutex mutex_;
  std::map<Endpoint, std::unique_ptr<control::ControlClient>> clients_;
  std::vector<std::unique_ptr<control::ControlClient>> retired_;  ///< Whose certificate is old.
};

}  // namespace scistream::client

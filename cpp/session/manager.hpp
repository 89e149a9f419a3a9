#pragma once

#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <set>

#include "base/log.hpp"
#include "base/scheduler.hpp"
#include "dataserver/data_server.hpp"
#include "session/addresses.hpp"
#include "session/leases.hpp"
#include "session/released_ids.hpp"
#include "session/session.hpp"
#include "session/store.hpp"
#include "session/types.hpp"

namespace scistream::session {

struct ManagerOptions {
  Addresses addresses;
  std::vector<std::string> transports{"tcp"};     ///< What the data server can do.
  bool require_encryption = false;                ///< Sessions that are not encrypted are refused.
  std::uint64_t capacity_mbps = 0;                ///< Bandwidth that can be leased; 0: unlimited.
  std::chrono::milliseconds timeout{180'000};     ///< For hello after req, and update after hello.
  std::chrono::milliseconds client_loss{10'000};  ///< A cut req must be repeated within this.
  std::chrono::milliseconds hello_hold{2'000};    ///< A hello waits this long for its req.
  /// A cancellation and the next req of its client reach us in any order: how long the latter
  /// waits.
  std::chrono::milliseconds cancel_grace{200};
  std::size_t most_held_hellos = 1024;
  std::size_t most_held_bytes = 16U << 20U;                      ///< Of all of these.
  std::chrono::milliseconds idle_limit{std::chrono::hours(24)};  ///< Without a connection; 0: none.
  std::chrono::milliseconds max_session{0};                      ///< After set-up; 0: none.
  std::chrono::milliseconds restore_window{5'000};  ///< For a lost data server to come back.
  std::chrono::milliseconds counters_period{250};
  /// A shut-down that waited for live connections does so this long under the next control server.
  std::chrono::milliseconds resumed_drain{30'000};
  std::chrono::milliseconds tidy_after{1'000};  ///< For the store to wipe what it has forgotten.
  /// Where the targets of a role may be; asked at each update. Empty: anywhere.
  std::function<net::Destinations(Role, const std::set<std::uint16_t>& of_consumers)> destinations;
  /// The calendar, for what the store keeps; may be set while it runs, in either direction.
  std::function<std::chrono::system_clock::time_point()> calendar = std::chrono::system_clock::now;
};

/// The S2CS without its wire: keeps the sessions, feeds their machines, does what these decide.
///
/// All public functions may be called from any thread; they post to the scheduler and call their
/// callback exactly once, on the scheduler's thread. The Manager must die on a stopped scheduler
/// or on the scheduler's thread; callbacks that still wait then are answered `unavailable`.
class Manager {
 public:
  /// Brings a lost data server back: a new connection, or a new process. Called on the scheduler;
  /// answers on any thread.
  using Revive = std::function<void(Callback<std::shared_ptr<dataserver::DataServer>>)>;

  /// `store` may be shared with nobody else while the Manager lives.
  Manager(Scheduler& scheduler, std::shared_ptr<dataserver::DataServer> data_server,
          std::shared_ptr<Store> store, ManagerOptions options, Logger log,
          Revive revive = nullptr);
  ~Manager();
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  /// Takes up what an earlier control server left in the store: sessions are given back to the data
  /// server where it has lost them, those that were being released are released. Answers when all
  /// are known here. Before anything else is asked.
  void resume(Store::Contents left, Callback<void> done);

  /// Answers when the session's hello has come, or with why it ended before.
  /// The session is theirs from then on. `already_exists` for an id that others use.
  Ticket request(Request request, const Principal& by, Callback<RequestAnswer> done);
  /// The caller of `request` or `release` is gone: its callback is called with `cancelled`.
  void withdraw(Ticket ticket);
  /// Of whoever may act for the session: by its application key, or as its owner where it has none.
  /// Others are answered as if the id were unknown.
  void hello(Hello hello, const Principal& by, Callback<HelloAnswer> done);
  void update(UpdateTargets update, const Principal& by, Callback<UpdateAnswer> done);
  /// Ends both roles of an id; with a `claim` only what the request that made it ended up with, so
  /// that a client which gives up cannot end somebody else's session of the same id. Answers when
  /// they are gone: with `drain` after their last live connection, unless another release cuts it.
  /// `withdraw` makes nobody wait any more; the session ends all the same.
  Ticket release(const std::string& uid, const std::string& claim, dataserver::Ending how,
                 const Principal& by, Callback<void> done);

  /// Gives both roles of an id another rate, all or none; live connections notice. `exhausted` if
  /// more is to be leased than is free, `failed_precondition` for a session that is being reserved.
  void set_rate(const std::string& uid, Rate rate, const Principal& by, Callback<RateInForce> done);

  /// The sessions of these ids that they may see; the others are left out.
  void list(std::vector<std::string> uids, const Principal& by,
            Callback<std::vector<SessionView>> done);
  /// One of them, in the roles that it has here.
  void show(const std::string& uid, Detail detail, const Principal& by,
            Callback<std::vector<SessionView>> done);
  void capacity(Callback<Capacity> done);

  /// Events of those sessions of these ids that they may see, on the scheduler's thread, until the
  /// handle dies. First the present state of each, then `began` with whether there was one, which
  /// may be empty; counters at most every `period`.
  class Observer;
  using Observe = std::function<void(const SessionEvent&)>;
  [[nodiscard]] std::shared_ptr<void> watch(std::vector<std::string> uids,
                                            std::chrono::milliseconds period, const Principal& by,
                                            Observe observe,
                                            std::function<void(bool any)> began = {});

  /// Refuses new sessions, ends those that have no live connection, waits up to `drain` for the
  /// others, then cuts them. Answers when all are gone. Called again with 0 it cuts at once.
  void shut_down(std::chrono::milliseconds drain, Callback<void> done);

 private:
  using SessionPtr = std::shared_ptr<Session>;

  struct HeldHello {
    Hello hello;
    Principal by;
    Callback<HelloAnswer> done;
    std::size_t bytes = 0;
    std::string stranger;  ///< Whose address it is from; empty: it is of somebody known.
    Scheduler::Timer timer;
  };

  // manager.cpp: from a req to its release
  void on_request(Request request, RequestWaiter waiter);
  [[nodiscard]] bool is_used_by_others(const Request& request) const;
  [[nodiscard]] Status check_sessions_of(const std::string& owner, std::size_t most) const;
  [[nodiscard]] Status check_transport(const std::string& transport) const;
  void begin(Request request, RequestWaiter waiter);
  void join(const SessionPtr& session, RequestWaiter waiter);
  /// Ends a session nobody waits for, for the sake of its successors.
  void make_way(const SessionPtr& session);
  /// Answers a waiting successor with `why`; false if it is not there any more.
  bool drop_successor(const SessionPtr& session, Ticket ticket, const Error& why);
  void on_withdraw(Ticket ticket);
  void on_update(UpdateTargets update, const Principal& by, Callback<UpdateAnswer> done);
  [[nodiscard]] Result<net::Destinations> allow(const UpdateTargets& update, Role role,
                                                const Principal& by) const;
  void next_update(const SessionPtr& session);
  void on_release(const std::string& uid, const std::string& claim, dataserver::Ending how,
                  const Principal& by, Ticket ticket, Callback<void> done);
  void drain_over();
  void finish_shut_down();
  [[nodiscard]] SessionPtr find(const SessionKey& key) const;
  /// Also of a session that whoever asks may not see.
  [[nodiscard]] static Error unknown(const std::string& uid) {
    return {Cause::not_found, "no session has the id " + uid};
  }
  [[nodiscard]] static Error not_theirs(const std::string& uid) {
    return {Cause::permission_denied, "session " + uid + " is somebody else's"};
  }
  [[nodiscard]] static Error shutting_down() {
    return {Cause::unavailable, "the control server is shutting down"};
  }

  // manager_hello.cpp: whom a hello is for, and those that come before their req
  void on_hello(HelloWaiter waiter);
  void hold(HelloWaiter waiter);
  void deliver_hello(const SessionPtr& session, HelloWaiter waiter);
  /// Whether it comes from where this session's may come from, and was not seen before.
  Status accept(const SessionPtr& session, const HelloWaiter& waiter);
  void wake_held_hellos(const std::string& uid);
  /// The session of `uid` that PROTOCOL §7, Identity, sends a hello or update to.
  [[nodiscard]] Result<SessionPtr> route(const std::string& uid, std::optional<Role> role,
                                         bool binding, bool is_hello) const;

  // manager_rate.cpp: what sessions may take of the network
  void on_set_rate(const std::string& uid, Rate rate, const Principal& by,
                   const Callback<RateInForce>& done);
  [[nodiscard]] Status set_rates(const std::vector<SessionPtr>& sessions, const Rate& rate);
  void undo(const SessionPtr& session, const Rate& rate);
  /// Mbit/s that a session of this rate leases here; 0: none.
  [[nodiscard]] std::uint64_t to_lease(const Rate& rate) const;
  [[nodiscard]] dataserver::RateLimit limit_of(const Session& session) const;

  // manager_views.cpp: what can be seen
  [[nodiscard]] SessionView view(const Session& session) const;
  /// Of those from `next` on, one after the other.
  void add_connections(const std::shared_ptr<std::vector<SessionView>>& views, std::size_t next,
                       const Callback<std::vector<SessionView>>& done);

  // manager_actions.cpp: what the machines decide
  Status apply(const SessionPtr& session, Input input);
  void expire(const SessionPtr& session, Error reason, Input input = Input::expire);
  void act(const SessionPtr& session, Action action);
  void reserve_listeners(const SessionPtr& session);
  void on_reserved(const SessionPtr& session, const Result<dataserver::Reservation>& reservation);
  void set_targets(const SessionPtr& session);
  void on_targets_set(const SessionPtr& session, const Status& status);
  void release_listeners(const SessionPtr& session);
  void call_release(const SessionPtr& session, int attempt);
  void call_came_back(const SessionPtr& session);
  void await(const SessionPtr& session, const char* what);
  void await_client(const SessionPtr& session);
  /// Turns a release that waits for live connections into one that cuts them.
  void cut_now(const SessionPtr& session);
  void become_ready(const SessionPtr& session);
  void start_lifetime(const SessionPtr& session);
  void limit_lifetime(const SessionPtr& session);
  void check_idle(const SessionPtr& session);
  void end(const SessionPtr& session);
  void notify(const SessionPtr& session, SessionEvent::Kind kind);

  // manager_store.cpp: what survives this process
  [[nodiscard]] StoredSession record(const Session& session, Phase phase) const;
  [[nodiscard]] Status keep(const SessionPtr& session, Phase phase);
  void forget(const SessionKey& key, const std::string& owner);
  void tidy_soon();
  void resume_session(StoredSession stored);

  // manager_restore.cpp: a data server that comes and goes
  void attach();
  void on_data_event(const dataserver::Event& event);
  /// What happened to a session at its data server, and did not end it.
  void take_note(const dataserver::Event& event);
  void on_data_server_lost(const std::string& detail);
  void try_revive();
  void restore(const SessionPtr& session);
  void restore_all();
  /// Ends what a data server that was silent still has, and nobody here any more; then restores the
  /// others.
  void settle(const std::vector<dataserver::SessionStatus>& there);
  /// Counts what another data server will not.
  static void keep_counters(Session& session);
  void when_attached(std::function<void()> work);
  /// Whether the data server of `generation`, whose call ended with `status`, is gone and another
  /// one may take its place. The news of its loss may come after the failure of its calls.
  [[nodiscard]] bool replaced(std::uint64_t generation, const Status& status);

  [[nodiscard]] dataserver::ReserveRequest reserve_request(const Session& session) const;
  [[nodiscard]] dataserver::UpdateRequest update_request(const Session& session) const;

  Scheduler& scheduler_;
  std::shared_ptr<dataserver::DataServer> data_server_;
  std::shared_ptr<Store> store_;
  ManagerOptions options_;
  Logger log_;
  Revive revive_;
  Leases leases_;
  ReleasedIds released_;
  std::map<SessionKey, SessionPtr> sessions_;
  std::map<Ticket, SessionKey> tickets_;
  std::list<HeldHello> held_hellos_;
  std::size_t held_bytes_ = 0;
  std::map<SessionKey, std::string> to_forget_;  ///< With owners: the store did not let go.
  Scheduler::Timer forget_timer_;
  Scheduler::Timer tidy_timer_;
  bool tidy_is_due_ = false;
  std::list<std::weak_ptr<Observer>> observers_;
  std::unique_ptr<dataserver::Watch> data_watch_;

  bool attached_ = true;
  Clock::time_point lost_since_{};
  Scheduler::Timer revive_timer_;
  std::vector<std::function<void()>> when_attached_;

  bool shutting_down_ = false;
  Scheduler::Timer drain_timer_;
  std::vector<Callback<void>> shut_down_waiters_;

  std::atomic<Ticket> next_ticket_{1};
  std::uint64_t data_server_generation_ = 0;
  /// Expires with the Manager; what is posted checks it first.
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace scistream::session

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "dataserver/data_server.hpp"
#include "session/types.hpp"

namespace scistream::session {

/// What must survive the death of the control server about one session. Its application key and its
/// data key are in it: whoever keeps it, keeps it as private as these.
struct StoredSession {
  Request request;
  Phase phase = Phase::hello;   ///< hello, update, ready, or ended: its release has begun.
  bool draining = false;        ///< Its release waits for live connections.
  bool drain_is_users = false;  ///< Because its user wants to.
  Rate rate;                    ///< As requested, or changed since.
  bool rate_is_leased = false;
  std::uint64_t reservation = 0;         ///< The data server's id for it.
  dataserver::Counters counters_before;  ///< Of data servers that have died.
  std::vector<std::uint16_t> ports;
  std::vector<std::string> listeners;
  std::vector<std::string> prod_listeners;
  std::optional<UpdateTargets> targets;  ///< In force.
  std::set<std::string> nonces;          ///< Of accepted hellos.
  std::chrono::system_clock::time_point born;
  std::chrono::system_clock::time_point ready_since;  ///< Where `phase` is ready.
};

/// Where a control server keeps its sessions, so that the next one finds them.
///
/// Each function is one transaction: when it has returned without error its effect survives the
/// death of the process at any later moment, and when it fails nothing has changed. To be called
/// from one thread at a time. Errors: `exhausted` (no space), `failure` (anything else; the message
/// names the file).
class Store {
 public:
  virtual ~Store() = default;

  /// Adds a session, or replaces the one of its key.
  virtual Status save(const StoredSession& session) = 0;
  /// Forgets a session and remembers its id as released at `when`, and whose it was. Unknown is a
  /// success.
  virtual Status forget(const SessionKey& session, const std::string& owner,
                        std::chrono::system_clock::time_point when) = 0;

  /// Wipes what has been forgotten, keys above all, from wherever it may still be. Costs more than
  /// the others.
  virtual Status tidy() = 0;

  struct ReleasedId {
    std::string uid;
    std::string owner;
    std::chrono::system_clock::time_point when;
  };
  struct Contents {
    std::vector<StoredSession> sessions;  ///< In the order of their keys.
    std::vector<ReleasedId> released;     ///< Oldest first; at most `ReleasedIds::most`.
  };
  /// Everything there is.
  virtual Result<Contents> load() = 0;
};

}  // namespace scistream::session

#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "dataserver/forwarder.hpp"
#include "dataserver/watchers.hpp"

namespace scistream::dataserver {

/// What a data server keeps about its sessions. Everything, callbacks included, runs on the thread
/// of `bookkeeping`; the machine of each session decides, this acts, and a forwarder forwards.
class Sessions {
 public:
  Sessions(boost::asio::io_context& bookkeeping, std::unique_ptr<Forwarding> forwarding,
           Logger log);

  void info(const Callback<Info>& done);
  void reserve(const ReserveRequest& request, Callback<Reservation> done);
  void update(const UpdateRequest& request, Callback<void> done);
  void release(const SessionKey& key, Ending ending, Callback<Released> done);
  void status(const std::optional<SessionKey>& key, Callback<std::vector<SessionStatus>> done);
  void watch(std::shared_ptr<Watchers::Subscriber> subscriber, std::chrono::milliseconds period);

  /// As Forwarding::hurry.
  void hurry() { forwarding_->hurry(); }
  /// Cuts every session; `done` comes when all are gone. From now on everything is `unavailable`.
  void shut_down(std::function<void()> done);

 private:
  struct Update {
    UpdateRequest request;
    Callback<void> done;
  };
  struct Session {
    std::uint64_t reservation = 0;
    Machine machine;
    std::vector<Endpoint> targets;
    std::string transport;
    std::unique_ptr<Forwarder> forwarder;  ///< Empty while it is being reserved.
    int num_conn = 0;
    std::vector<Callback<Reservation>> reserving;
    std::vector<Update> updates;  ///< The first is under way, the others wait for their turn.
    std::vector<Callback<Released>> releasing;
  };
  using Entry = std::map<SessionKey, Session>::value_type;

  /// The session of that reservation, if it is still there.
  Entry* find(const SessionKey& key, std::uint64_t reservation);
  void start_reserve(Entry& entry, const ReserveRequest& request);
  void reserved(const SessionKey& key, Result<std::unique_ptr<Forwarder>> forwarder);
  void start_update(Entry& entry);
  void updated(const SessionKey& key, std::uint64_t reservation, const Status& result);
  void start_release(Entry& entry, Ending how, const std::string& why);
  /// What is left to do once nothing of it is being made any more.
  void finish_release(Entry& entry, Ending how);
  void released(const SessionKey& key);
  void apply(Entry& entry, Input input, const std::string& detail = {});
  /// Tells the log and every watcher the state the machine is in.
  void announce(const Entry& entry, const std::string& detail);
  [[nodiscard]] SessionStatus describe(const Entry& entry, bool connections) const;
  [[nodiscard]] std::vector<SessionStatus> describe_all() const;

  boost::asio::io_context& bookkeeping_;
  const std::unique_ptr<Forwarding> forwarding_;
  const Logger log_;
  std::map<SessionKey, Session> sessions_;
  std::uint64_t last_reservation_;
  Watchers watchers_;
  std::function<void()> shut_down_;
};

}  // namespace scistream::dataserver

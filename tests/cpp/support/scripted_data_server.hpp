#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataserver/data_server.hpp"

namespace scistream {

/// A data server for tests of its callers: hands out ports like a real one, but answers when and
/// how the test says. Not thread-safe.
class ScriptedDataServer final : public dataserver::DataServer {
 public:
  template <class T>
  using Callback = dataserver::Callback<T>;

  bool answer_at_once = true;
  std::optional<Error> fail_next;

  /// Sessions that hold ports.
  std::map<SessionKey, std::vector<std::uint16_t>> held;
  std::map<SessionKey, std::vector<Endpoint>> targets;
  std::map<SessionKey, dataserver::RateLimit> rates;  ///< As the last update said.
  std::map<SessionKey, net::Destinations> allowed;
  std::map<SessionKey, std::uint64_t> reservations;  ///< The last of each key.
  std::vector<std::string> log;
  dataserver::Counters counters;
  std::map<SessionKey, std::vector<dataserver::ConnectionStatus>> connections;

  void info(Callback<dataserver::Info> done) override {
    done(dataserver::Info{"Scripted", "0", {"tcp"}, held.size()});
  }

  void reserve(const dataserver::ReserveRequest& request,
               Callback<dataserver::Reservation> done) override {
    answer([this, request, done = std::move(done)](const std::optional<Error>& error) {
      log.push_back("reserve " + to_string(request.session));
      if (error) return done(*error);
      if (held.contains(request.session)) {
        const auto& present = held[request.session];
        if (present.size() != static_cast<std::size_t>(request.num_conn))
          return done(Error{Cause::already_exists, "another number of listeners"});
        return done(dataserver::Reservation{reservations[request.session], present});
      }
      std::vector<std::uint16_t> ports = request.exact_ports;
      for (std::uint16_t port = request.ports.first;
           ports.size() < static_cast<std::size_t>(request.num_conn) && port <= request.ports.last;
           ++port) {
        if (!in_use(port)) ports.push_back(port);
      }
      if (ports.size() < static_cast<std::size_t>(request.num_conn))
        return done(Error{Cause::exhausted, "no ports"});
      held[request.session] = ports;
      reservations[request.session] = ++last_reservation_;
      done(dataserver::Reservation{last_reservation_, ports});
    });
  }

  void update(const dataserver::UpdateRequest& request, Callback<void> done) override {
    answer([this, request, done = std::move(done)](const std::optional<Error>& error) {
      log.push_back("update " + to_string(request.session));
      if (error) return done(*error);
      if (!held.contains(request.session)) return done(Error{Cause::not_found, "no such session"});
      targets[request.session] = request.targets;
      rates[request.session] = request.rate;
      allowed[request.session] = request.allowed;
      done({});
    });
  }

  void release(const SessionKey& session, dataserver::Ending ending,
               Callback<dataserver::Released> done) override {
    answer([this, session, ending, done = std::move(done)](const std::optional<Error>& error) {
      log.push_back((ending == dataserver::Ending::cut ? "cut " : "drain ") + to_string(session));
      if (error) return done(*error);
      const bool was_held = held.erase(session) > 0;
      targets.erase(session);
      if (!was_held) return done(dataserver::Released());
      dataserver::SessionStatus last;
      last.session = session;
      last.reservation = reservations[session];
      last.counters = counters;
      done(dataserver::Released(std::move(last)));
    });
  }

  void status(const std::optional<SessionKey>& session,
              Callback<std::vector<dataserver::SessionStatus>> done) override {
    std::vector<dataserver::SessionStatus> all;
    for (const auto& [key, ports] : held) {
      if (session && key != *session) continue;
      dataserver::SessionStatus status;
      status.session = key;
      status.reservation = reservations[key];
      status.ports = ports;
      status.counters = counters;
      if (targets.contains(key)) status.targets = targets[key];
      if (session) status.connections = connections[key];
      all.push_back(std::move(status));
    }
    done(std::move(all));
  }

  [[nodiscard]] std::unique_ptr<dataserver::Watch> watch(
      std::chrono::milliseconds, std::function<void(const dataserver::Event&)> observer) override {
    observe = std::move(observer);
    return std::make_unique<dataserver::Watch>();
  }

  /// Forgets everything, as a process that was killed: open calls fail, whoever watches is told.
  void die() {
    held.clear();
    targets.clear();
    rates.clear();
    for (const auto& call : std::exchange(waiting, {}))
      call(Error{Cause::unavailable, "Socket closed"});
    dataserver::Event lost;
    lost.kind = dataserver::Event::Kind::lost;
    if (observe) observe(lost);
  }

  /// Answers the oldest waiting call, or `which` modulo their number; false if none waits.
  bool answer_one(std::size_t which = 0, std::optional<Error> error = std::nullopt) {
    if (waiting.empty()) return false;
    const auto at = waiting.begin() + static_cast<std::ptrdiff_t>(which % waiting.size());
    const auto call = std::move(*at);
    waiting.erase(at);
    call(error);
    return true;
  }

  std::function<void(const dataserver::Event&)> observe;
  std::deque<std::function<void(const std::optional<Error>&)>> waiting;

 private:
  std::uint64_t last_reservation_ = 0;

  void answer(std::function<void(const std::optional<Error>&)> call) {
    if (!answer_at_once) {
      waiting.push_back(std::move(call));
    } else {
      call(std::exchange(fail_next, std::nullopt));
    }
  }

  [[nodiscard]] bool in_use(std::uint16_t port) const {
    for (const auto& [key, ports] : held) {
      for (const std::uint16_t taken : ports) {
        if (taken == port) return true;
      }
    }
    return false;
  }
};

}  // namespace scistream

// What can be seen of the sessions.
#include <algorithm>
#include <utility>

#include "session/manager.hpp"
#include "session/observer.hpp"

namespace scistream::session {

namespace {

void keep_busiest(std::vector<dataserver::ConnectionStatus>& connections) {
  if (connections.size() <= most_connections_shown) return;
  const auto last = connections.begin() + most_connections_shown;
  std::partial_sort(connections.begin(), last, connections.end(), [](const auto& a, const auto& b) {
    return a.bytes_to_consumer + a.bytes_to_producer > b.bytes_to_consumer + b.bytes_to_producer;
  });
  connections.erase(last, connections.end());
}

}  // namespace

void Manager::list(std::vector<std::string> uids, const Principal& by,
                   Callback<std::vector<SessionView>> done) {
  scheduler_.post([this, alive = std::weak_ptr(alive_), uids = std::move(uids), by,
                   done = std::move(done)]() mutable {
    if (alive.expired()) return done(shutting_down());
    // Fresh counters where the data server answers, else those heard of last.
    data_server_->status(
        std::nullopt, [this, &scheduler = scheduler_, alive, uids = std::move(uids), by,
                       done = std::move(done)](Result<std::vector<dataserver::SessionStatus>> now) {
          scheduler.post([this, alive, uids, by, done, now = std::move(now)] {
            if (alive.expired()) return done(shutting_down());
            if (now) {
              for (const auto& status : *now) {
                const auto session = find(status.session);
                if (session && session->reservation == status.reservation)
                  session->counters = session->counters_before + status.counters;
              }
            }
            std::vector<SessionView> views;
            for (const std::string& uid : uids) {
              for (const Role role : {Role::producer, Role::consumer}) {
                const auto session = find({uid, role});
                if (session && by.may_see(session->request.owner)) views.push_back(view(*session));
              }
            }
            done(std::move(views));
          });
        });
  });
}

void Manager::show(const std::string& uid, Detail detail, const Principal& by,
                   Callback<std::vector<SessionView>> done) {
  if (detail == Detail::session) return list({uid}, by, std::move(done));
  list({uid}, by,
       [this, alive = std::weak_ptr(alive_),
        done = std::move(done)](Result<std::vector<SessionView>> views) {
         if (!views || views->empty() || alive.expired()) return done(std::move(views));
         add_connections(std::make_shared<std::vector<SessionView>>(std::move(*views)), 0, done);
       });
}

void Manager::add_connections(const std::shared_ptr<std::vector<SessionView>>& views,
                              std::size_t next, const Callback<std::vector<SessionView>>& done) {
  if (next == views->size()) return done(std::move(*views));
  data_server_->status((*views)[next].key, [this, &scheduler = scheduler_,
                                            alive = std::weak_ptr(alive_), views, next, done](
                                               Result<std::vector<dataserver::SessionStatus>> now) {
    scheduler.post([this, alive, views, next, done, now = std::move(now)]() mutable {
      if (alive.expired()) return done(shutting_down());
      const auto session = find((*views)[next].key);
      if (now && now->size() == 1 && session && session->reservation == now->front().reservation) {
        keep_busiest(now->front().connections);
        (*views)[next].connections = std::move(now->front().connections);
      }
      add_connections(views, next + 1, done);
    });
  });
}

void Manager::capacity(Callback<Capacity> done) {
  scheduler_.post([this, alive = std::weak_ptr(alive_), done = std::move(done)] {
    if (alive.expired()) return done(shutting_down());
    done(Capacity{leases_.ports_total(), leases_.ports_free(), leases_.capacity(),
                  leases_.capacity_free(), sessions_.size(), attached_});
  });
}

std::shared_ptr<void> Manager::watch(std::vector<std::string> uids,
                                     std::chrono::milliseconds period, const Principal& by,
                                     Observe observe, std::function<void(bool any)> began) {
  auto observer = std::make_shared<Observer>(std::move(uids), period, by, std::move(observe));
  scheduler_.post([this, alive = std::weak_ptr(alive_), weak = std::weak_ptr(observer),
                   began = std::move(began)] {
    const auto present = weak.lock();
    if (alive.expired() || !present) return;
    observers_.push_back(weak);
    bool any = false;
    for (const auto& [key, session] : sessions_) {
      if (!present->wants(session->request)) continue;
      any = true;
      present->tell({SessionEvent::Kind::state, view(*session), ""}, scheduler_.now());
    }
    if (began) began(any);
  });
  return observer;
}

SessionView Manager::view(const Session& session) const {
  SessionView view;
  view.key = session.request.key;
  view.state = session.machine.state();
  view.phase = session.machine.phase();
  view.listeners = session.listeners;
  if (session.targets) {
    const auto& targets = session.targets->targets;
    for (std::size_t i = 0; i < session.ports.size(); ++i) {
      view.targets.push_back(to_string(targets[i % targets.size()]));
    }
    view.transport = session.targets->transport;
  } else {
    view.transport = session.request.transport;
  }
  view.protocol = session.request.protocol;
  view.protection = view.transport == "tls" ? "encrypted" : "none";
  view.num_conn = session.request.num_conn;
  view.rate_mbps = session.rate.mbps;
  view.rate_is_leased = session.rate_is_leased;
  view.labels = session.request.labels;
  view.age = std::chrono::duration_cast<std::chrono::milliseconds>(scheduler_.now() - session.born);
  view.counters = session.counters;
  view.note = session.note;
  return view;
}

}  // namespace scistream::session

#pragma once

// How tests ask a data server, and wait for what it says.

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "dataserver/data_server.hpp"
#include "dataserver/far_end.hpp"
#include "dataserver/free_range.hpp"
#include "net/sockets.hpp"

namespace scistream::dataserver {

using namespace test;

/// Calls an asynchronous function and waits for its answer.
template <class T, class F>
Result<T> wait_for(F call) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  auto future = promise->get_future();
  call([promise](Result<T> result) { promise->set_value(std::move(result)); });
  if (future.wait_for(patience) != std::future_status::ready) {
    return Error{Cause::timeout, "no answer"};
  }
  return future.get();
}

/// Collects events and waits for some.
class Recorder {
 public:
  std::function<void(const Event&)> observer() {
    return [this](const Event& event) {
      const std::lock_guard lock(mutex_);
      events_.push_back(event);
      changed_.notify_all();
    };
  }
  bool has(const std::function<bool(const Event&)>& wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience,
                             [&] { return std::any_of(events_.begin(), events_.end(), wanted); });
  }
  std::vector<Event> events() {
    const std::lock_guard lock(mutex_);
    return events_;
  }
  /// `reserving`, …, `gone`, in order, without the periodic ones.
  std::vector<std::string> states() {
    std::vector<std::string> names;
    for (const Event& event : events()) {
      if (event.kind == Event::Kind::state) names.emplace_back(to_string(event.status.state));
      if (event.kind == Event::Kind::gone) names.emplace_back("gone");
      if (event.kind == Event::Kind::lost) names.emplace_back("lost");
    }
    return names;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Event> events_;
};

/// A kind of data server.
struct Kind {
  const char* name;
  std::function<std::unique_ptr<DataServer>()> make;
  bool resets = true;                      ///< What is cut looks cut; else it may look ended.
  const char* transport = transport::tcp;  ///< Of most tests; `tls` where it does nothing else.
  std::string lacks{};  ///< What this machine lacks for it, and why; most kinds need nothing.
};

/// For SetUp(): what this machine lacks is skipped, or a failure where everything must run.
inline void skip_or_fail(const std::string& lacks) {
  if (lacks.empty()) return;
  const char* const all = std::getenv("SCISTREAM_TEST_ALL");
  if (all != nullptr && std::string_view(all) == "1") FAIL() << lacks;
  GTEST_SKIP() << lacks;
}

inline std::ostream& operator<<(std::ostream& out, const Kind& kind) { return out << kind.name; }
inline std::string kind_name(const ::testing::TestParamInfo<Kind>& kind) { return kind.param.name; }

/// Whether who connects there is refused, or let go at once.
inline bool is_turned_away(const Endpoint& listener) {
  const net::Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = address_of(listener);
  if (::connect(client.get(), address.data(), static_cast<socklen_t>(address.size())) != 0)
    return true;
  return poll_for(client.get(), POLLIN, std::chrono::milliseconds(500)) == 1;
}

/// Asks one data server, on 127.0.0.1. Where its WAN side is encrypted, the clients and targets of
/// a test are behind a relay that has the key.
class Asking : public ::testing::Test {
 protected:
  [[nodiscard]] ReserveRequest request(Role role = Role::producer, int num_conn = 1) const {
    return {{"session", role}, num_conn, "127.0.0.1", range_, {}};
  }
  Result<Reservation> reserve(const ReserveRequest& what) {
    return wait_for<Reservation>([&](auto done) { server_->reserve(what, done); });
  }
  Status update(const UpdateRequest& what) {
    return wait_for<void>([&](auto done) { server_->update(what, done); });
  }
  Status update(Role role, const Endpoint& target) { return update(request(role, {target})); }
  /// For targets of a test.
  UpdateRequest request(Role role, const std::vector<Endpoint>& targets) {
    UpdateRequest update{{"session", role}, {}, transport_, {}, {}};
    for (const Endpoint& each : targets) update.targets.push_back(lead(each, role));
    if (transport_ == transport::tls) update.data_key = wan_.key();
    return update;
  }
  Result<Released> release(Role role = Role::producer, Ending ending = Ending::cut) {
    return wait_for<Released>(
        [&](auto done) { server_->release({"session", role}, ending, done); });
  }
  Result<std::vector<SessionStatus>> status(std::optional<SessionKey> key = {}) {
    return wait_for<std::vector<SessionStatus>>([&](auto done) { server_->status(key, done); });
  }
  static Endpoint at(std::uint16_t port) { return {"127.0.0.1", port}; }
  /// Where a client of a test meets a listener.
  Endpoint reach(std::uint16_t port, Role role = Role::producer) {
    const bool encrypted = transport_ == transport::tls && role == Role::producer;
    return encrypted ? wan_.before(at(port)) : at(port);
  }
  /// Where a listener meets a target of a test.
  Endpoint lead(const Endpoint& target, Role role = Role::producer) {
    const bool encrypted = transport_ == transport::tls && role == Role::consumer;
    return encrypted ? wan_.behind(target) : target;
  }

  const PortRange range_ = free_range(16);
  std::string transport_ = transport::tcp;
  FarEnd wan_;
  std::unique_ptr<DataServer> server_;
};

}  // namespace scistream::dataserver

#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "session/manager.hpp"
#include "support/manual_scheduler.hpp"
#include "support/memory_store.hpp"
#include "support/scripted_data_server.hpp"

namespace scistream::session {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Takes one answer.
template <class T>
struct Slot {
  int calls = 0;
  std::optional<Result<T>> result;

  [[nodiscard]] Callback<T> callback() {
    return [this](Result<T> answer) {
      ++calls;
      result = std::move(answer);
    };
  }
  [[nodiscard]] bool pending() const { return calls == 0; }
  [[nodiscard]] bool ok() const { return calls == 1 && result->ok(); }
  [[nodiscard]] std::string cause() const {
    return calls == 1 && !result->ok() ? std::string(to_string(result->error().cause)) : "";
  }
};

/// A Manager whose time, data server and store are the test's.
class ManagerTest : public ::testing::Test {
 protected:
  static ManagerOptions options() {
    ManagerOptions options;
    options.addresses.ports = {5100, 5109};
    options.addresses.wan = {"127.0.0.1", "127.0.0.1"};
    options.addresses.lan = {"127.0.0.1", "127.0.0.1"};
    options.capacity_mbps = 1000;
    return options;
  }

  static Request want(const std::string& uid, Role role = Role::producer, int num_conn = 2) {
    Request request;
    request.key = {uid, role};
    request.num_conn = num_conn;
    return request;
  }

  static Hello greet(const std::string& uid,
                     std::vector<std::string> listeners = {"127.0.0.1:7000"}) {
    Hello hello;
    hello.uid = uid;
    hello.prod_listeners = std::move(listeners);
    return hello;
  }

  static UpdateTargets aim(const std::string& uid,
                           std::vector<Endpoint> targets = {{"127.0.0.1", 7000}}) {
    UpdateTargets update;
    update.uid = uid;
    update.targets = std::move(targets);
    return update;
  }

  template <class T = void, class Call>
  std::shared_ptr<Slot<T>> ask(Call call) {
    auto slot = std::make_shared<Slot<T>>();
    call([slot](Result<T> answer) { slot->callback()(std::move(answer)); });
    time.run();
    return slot;
  }

  std::shared_ptr<Slot<RequestAnswer>> req(Request request) {
    return ask<RequestAnswer>(
        [&](auto done) { ticket = manager->request(std::move(request), by, done); });
  }
  std::shared_ptr<Slot<HelloAnswer>> hello(Hello message) {
    return ask<HelloAnswer>([&](auto done) { manager->hello(std::move(message), by, done); });
  }
  std::shared_ptr<Slot<UpdateAnswer>> update(UpdateTargets message) {
    return ask<UpdateAnswer>([&](auto done) { manager->update(std::move(message), by, done); });
  }
  std::shared_ptr<Slot<void>> release(const std::string& uid, const std::string& claim = "",
                                      dataserver::Ending how = dataserver::Ending::cut) {
    return ask<void>([&](auto done) { manager->release(uid, claim, how, by, done); });
  }
  Capacity capacity() {
    const auto slot = ask<Capacity>([&](auto done) { manager->capacity(done); });
    return **slot->result;
  }
  std::vector<SessionView> list(std::vector<std::string> uids) {
    const auto slot =
        ask<std::vector<SessionView>>([&](auto done) { manager->list(std::move(uids), by, done); });
    return **slot->result;
  }
  void set_up(const std::string& uid, Role role = Role::producer) {
    const auto requested = req(want(uid, role));
    ASSERT_TRUE(hello(greet(uid))->ok());
    ASSERT_TRUE(requested->ok());
    ASSERT_TRUE(update(aim(uid))->ok());
  }
  /// What a control server does when it starts again after a kill: what the store does not know is
  /// released at the data server, the rest taken up.
  static std::unique_ptr<Manager> restarted(ManualScheduler& clock,
                                            const std::shared_ptr<ScriptedDataServer>& server,
                                            const std::shared_ptr<MemoryStore>& kept,
                                            std::unique_ptr<Manager> before) {
    before.reset();
    const auto fail = std::exchange(kept->fail, std::nullopt);
    while (server->answer_one()) {  // what had been sent is done, and nobody hears of it
    }
    const bool at_once = std::exchange(server->answer_at_once, true);
    auto left = kept->load();
    EXPECT_TRUE(left.ok()) << left.error().message;
    const auto held = server->held;
    for (const auto& [key, ports] : held) {
      if (!kept->records.contains(key))
        server->release(key, dataserver::Ending::cut, [](const auto&) {});
    }
    server->answer_at_once = at_once;
    auto after = std::make_unique<Manager>(
        clock, server, kept, options(), null_logger(),
        [server](auto done) { done(std::shared_ptr<dataserver::DataServer>(server)); });
    after->resume(*left, [](const Status& status) { EXPECT_TRUE(status.ok()); });
    clock.run();
    kept->fail = fail;
    return after;
  }
  void restart() {
    manager = restarted(time, data_server, store, std::move(manager));
    time.run();
  }

  void expect_nothing_reserved() {
    EXPECT_TRUE(data_server->held.empty());
    EXPECT_TRUE(store->records.empty());
    const Capacity now = capacity();
    EXPECT_EQ(now.sessions, 0U);
    EXPECT_EQ(now.ports_free, now.ports_total);
    EXPECT_EQ(now.mbps_free, now.mbps);
  }

  ManualScheduler time;
  std::shared_ptr<ScriptedDataServer> data_server = std::make_shared<ScriptedDataServer>();
  std::shared_ptr<MemoryStore> store = std::make_shared<MemoryStore>();
  std::unique_ptr<Manager> manager =
      std::make_unique<Manager>(time, data_server, store, options(), null_logger());
  Ticket ticket = 0;
  Principal by = Principal::anybody();  ///< Who asks.
};

}  // namespace scistream::session

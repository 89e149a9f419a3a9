// What can be seen of sessions.
#include "session/manager_fixture.hpp"

namespace scistream::session {
namespace {

class ViewsTest : public ManagerTest {
 protected:
  std::vector<SessionView> show(const std::string& uid, Detail detail) {
    const auto slot =
        ask<std::vector<SessionView>>([&](auto done) { manager->show(uid, detail, by, done); });
    return **slot->result;
  }

  static dataserver::ConnectionStatus connection(std::uint64_t id, std::uint64_t bytes) {
    return {id, 5100, "127.0.0.1:40000", "127.0.0.1:7000", bytes, 0, milliseconds(0)};
  }
};

// Protocol: status-connections
TEST_F(ViewsTest, ConnectionsAreThoseOfEachRoleWhereAskedFor) {
  set_up("a");
  set_up("a", Role::consumer);
  data_server->connections[{"a", Role::producer}] = {connection(1, 10)};
  data_server->connections[{"a", Role::consumer}] = {connection(2, 10), connection(3, 20)};
  const auto all = show("a", Detail::connections);
  ASSERT_EQ(all.size(), 2U);
  ASSERT_EQ(all[0].connections.size(), 1U);
  EXPECT_EQ(all[0].connections[0].id, 1U);
  EXPECT_EQ(all[0].connections[0].peer, "127.0.0.1:40000");
  ASSERT_EQ(all[1].connections.size(), 2U);
  EXPECT_EQ(all[1].connections[1].bytes_to_consumer, 20U);
  for (const auto& view : show("a", Detail::session)) EXPECT_TRUE(view.connections.empty());
  for (const auto& view : list({"a"})) EXPECT_TRUE(view.connections.empty());
}

// Protocol: status-connections
TEST_F(ViewsTest, OfVeryManyConnectionsTheBusiestAreShown) {
  set_up("a");
  auto& connections = data_server->connections[{"a", Role::producer}];
  for (std::uint64_t id = 0; id < most_connections_shown + 100; ++id)
    connections.push_back(connection(id, id % 2 == 0 ? id : 1'000'000));
  const auto shown = show("a", Detail::connections).front().connections;
  EXPECT_EQ(shown.size(), most_connections_shown);
  std::size_t busy = 0;
  for (const auto& each : shown) {
    if (each.bytes_to_consumer == 1'000'000) ++busy;
    EXPECT_GE(each.bytes_to_consumer, 200U) << "the least of the rest are left out";
  }
  EXPECT_EQ(busy, (most_connections_shown + 100) / 2);
}

TEST_F(ViewsTest, AWatchSaysWhetherThereWasAnything) {
  std::vector<bool> began;
  const auto watch = [&](const std::string& uid) {
    auto handle = manager->watch(
        {uid}, milliseconds(100), by, [](const SessionEvent&) {},
        [&began](bool any) { began.push_back(any); });
    time.run();
    return handle;
  };
  const auto early = watch("a");
  set_up("a");
  const auto now = watch("a");
  EXPECT_EQ(began, (std::vector<bool>{false, true}));
}

TEST_F(ViewsTest, NothingIsShownOfWhatIsNotThere) {
  EXPECT_TRUE(show("nobody", Detail::connections).empty());
  set_up("a");
  by = {};
  by.id = "another";
  EXPECT_TRUE(show("a", Detail::connections).empty());
}

}  // namespace
}  // namespace scistream::session

// Whose sessions are whose, and what strangers learn of them.
#include "session/manager_fixture.hpp"

namespace scistream::session {
namespace {

Principal user(const std::string& id) {
  Principal principal;
  principal.id = id;
  return principal;
}

const Principal alice = user("issuer\nalice");
const Principal mallory = user("issuer\nmallory");
const Principal nobody;

class OwnershipTest : public ManagerTest {
 protected:
  OwnershipTest() { by = alice; }

  template <class Work>
  auto as(const Principal& who, Work work) {
    const Principal before = std::exchange(by, who);
    auto result = work();
    by = before;
    return result;
  }
  std::shared_ptr<Slot<RateInForce>> set_rate(const std::string& uid, long long mbps) {
    return ask<RateInForce>([&](auto done) { manager->set_rate(uid, {mbps, true}, by, done); });
  }
  static Secret key() { return Secret(std::string(key_size, 'k')); }
  /// Waits for those that are held.
  void wait_for_held() {
    time.advance(ManagerOptions{}.hello_hold);
    time.run();
  }
};

// Protocol: sessions-have-owners
TEST_F(OwnershipTest, OnesOwnSessionIsOnesOwn) {
  set_up("a");
  EXPECT_EQ(list({"a"}).size(), 1U);
  EXPECT_TRUE(set_rate("a", 10)->ok());
  EXPECT_TRUE(update(aim("a", {{"127.0.0.1", 7001}}))->ok());
  EXPECT_TRUE(release("a")->ok());
  EXPECT_TRUE(release("a")->ok()) << "and its id is known as released";
}

// Protocol: strangers-learn-nothing
TEST_F(OwnershipTest, AStrangersIdAndAnUnknownOneAreAnsweredAlike) {
  set_up("a");
  by = mallory;
  const auto same = [this](auto call) {
    const auto there = call("a");
    const auto unknown = call("b");
    time.advance(std::chrono::seconds(3));
    time.run();
    ASSERT_EQ(there->calls, 1);
    ASSERT_EQ(unknown->calls, 1);
    ASSERT_FALSE(there->ok());
    std::string expected = unknown->result->error().message;
    const auto at = expected.find(" b");
    if (at != std::string::npos) expected.replace(at, 2, " a");
    EXPECT_EQ(there->cause(), "not_found");
    EXPECT_EQ(there->result->error().message, expected);
  };
  same([this](const char* uid) { return release(uid); });
  same([this](const char* uid) { return release(uid, "some claim"); });
  same([this](const char* uid) { return set_rate(uid, 10); });
  same([this](const char* uid) { return update(aim(uid)); });
  same([this](const char* uid) { return hello(greet(uid)); });
  EXPECT_TRUE(list({"a", "b"}).empty());
  int told = 0;
  const auto watch = manager->watch({"a"}, milliseconds(0), by, [&](const auto&) { ++told; });
  time.run();
  by = alice;
  EXPECT_TRUE(update(aim("a", {{"127.0.0.1", 7001}}))->ok());
  EXPECT_EQ(told, 0);
  EXPECT_EQ(list({"a"}).size(), 1U) << "and nothing of it has changed";
}

// Protocol: strangers-learn-nothing
TEST_F(OwnershipTest, BothRolesOfAnIdOfOthersAreUnknownAsWell) {
  set_up("a");
  set_up("a", Role::consumer);
  by = mallory;
  auto ambiguous = aim("a");
  EXPECT_EQ(update(ambiguous)->cause(), "not_found");
}

// Protocol: strangers-learn-nothing
TEST_F(OwnershipTest, AnIdThatSomebodyElseHasReleasedIsUnknown) {
  set_up("a");
  ASSERT_TRUE(release("a")->ok());
  EXPECT_EQ(as(mallory, [&] { return release("a"); })->cause(), "not_found");
  EXPECT_TRUE(release("a")->ok());
  restart();
  EXPECT_EQ(as(mallory, [&] { return release("a"); })->cause(), "not_found");
  EXPECT_TRUE(release("a")->ok());
}

// Protocol: sessions-have-owners
TEST_F(OwnershipTest, AnIdInUseIsNobodyElses) {
  const auto waiting = req(want("a"));
  EXPECT_EQ(as(mallory, [&] { return req(want("a")); })->cause(), "already_exists");
  auto other = want("a");
  other.num_conn = 5;
  EXPECT_EQ(as(mallory, [&] { return req(other); })->cause(), "already_exists");
  EXPECT_EQ(as(mallory, [&] { return req(want("a", Role::consumer)); })->cause(), "already_exists")
      << "a hello finds its session by the id alone";
  manager->withdraw(ticket);
  time.run();
  EXPECT_EQ(as(mallory, [&] { return req(other); })->cause(), "already_exists")
      << "nor while its client may come back";
  EXPECT_TRUE(waiting->ok() || waiting->cause() == "cancelled" || waiting->pending());
  EXPECT_EQ(capacity().sessions, 1U);
}

// Protocol: sessions-have-owners
TEST_F(OwnershipTest, OwnersAreKnownAfterARestart) {
  set_up("a");
  restart();
  EXPECT_TRUE(as(mallory, [&] { return release("a"); })->cause() == "not_found");
  EXPECT_TRUE(as(nobody, [&] { return release("a"); })->cause() == "not_found");
  EXPECT_TRUE(release("a")->ok());
}

// Protocol: sessions-have-owners
TEST_F(OwnershipTest, ASessionWithoutAnOwnerIsNotForThoseWithoutAName) {
  by = Principal::anybody();
  set_up("a");
  EXPECT_EQ(as(nobody, [&] { return release("a"); })->cause(), "not_found");
  EXPECT_EQ(as(alice, [&] { return release("a"); })->cause(), "not_found");
}

// Protocol: rights-over-others
TEST_F(OwnershipTest, WhoSeesMayNotReleaseAndWhoReleasesMayNotChange) {
  set_up("a");
  Principal seeing = mallory;
  seeing.sees = true;
  by = seeing;
  EXPECT_EQ(list({"a"}).size(), 1U);
  EXPECT_EQ(release("a")->cause(), "permission_denied");
  EXPECT_EQ(set_rate("a", 10)->cause(), "permission_denied");
  EXPECT_EQ(update(aim("a"))->cause(), "permission_denied");
  Principal releasing = mallory;
  releasing.releases = true;
  by = releasing;
  EXPECT_EQ(set_rate("a", 10)->cause(), "permission_denied");
  EXPECT_TRUE(release("a")->ok());
  by = alice;
  set_up("b");
  by = mallory;
  by.administers = true;
  EXPECT_TRUE(set_rate("b", 10)->ok());
  EXPECT_TRUE(release("b")->ok());
}

// Protocol: app-key-proves
TEST_F(OwnershipTest, AHelloOfNobodyNeedsTheApplicationKey) {
  auto keyed = want("a");
  keyed.app_key = key();
  const auto requested = req(keyed);
  by = nobody;
  auto wrong = greet("a");
  wrong.role = Role::producer;
  sign(wrong, Secret(std::string(key_size, 'x')));
  const auto refused = hello(wrong);
  EXPECT_TRUE(refused->pending()) << "as one for an unknown id waits";
  auto other = greet("b");
  other.role = Role::producer;
  sign(other, key());
  const auto unknown = hello(other);
  EXPECT_TRUE(unknown->pending());
  wait_for_held();
  EXPECT_EQ(refused->cause(), "unauthenticated");
  EXPECT_EQ(unknown->cause(), "unauthenticated");
  EXPECT_EQ(refused->result->error().message, unknown->result->error().message);
  auto right = greet("a");
  right.role = Role::producer;
  sign(right, key());
  EXPECT_TRUE(hello(right)->ok());
  EXPECT_TRUE(requested->ok());
}

// Protocol: held-hellos-shared
TEST_F(OwnershipTest, OneAddressTakesAQuarterOfTheRoomForStrangers) {
  by = nobody;
  const auto from = [this](const std::string& host, std::size_t bytes = 0) {
    static int number = 0;
    auto greeting = greet("x" + std::to_string(++number));
    greeting.caller_host = host;
    greeting.proof = std::string(bytes, 'x');
    return hello(greeting);
  };
  const std::size_t share = ManagerOptions{}.most_held_hellos / 8;
  for (std::size_t i = 0; i < share; ++i) EXPECT_TRUE(from("192.0.2.1")->pending()) << i;
  EXPECT_FALSE(from("192.0.2.1")->pending());
  EXPECT_TRUE(from("192.0.2.2")->pending());
  // The addresses of one IPv6 network are one, and large ones count for more.
  const std::size_t bytes = ManagerOptions{}.most_held_bytes / 8;
  EXPECT_TRUE(from("2001:db8::1", bytes / 2)->pending());
  EXPECT_FALSE(from("2001:db8::2", bytes / 2)->pending());
  EXPECT_TRUE(from("2001:db8:0:1::2", bytes / 2)->pending());
  wait_for_held();
  EXPECT_TRUE(from("192.0.2.1")->pending());
}

// Protocol: app-key-proves
TEST_F(OwnershipTest, ASessionWithoutAKeyTakesTheHelloOfItsOwnerOnly) {
  const auto requested = req(want("a"));
  const auto stranger = as(mallory, [&] { return hello(greet("a")); });
  const auto anonymous = as(nobody, [&] { return hello(greet("a")); });
  wait_for_held();
  EXPECT_EQ(stranger->cause(), "not_found");
  EXPECT_EQ(anonymous->cause(), "unauthenticated");
  EXPECT_TRUE(requested->pending());
  EXPECT_TRUE(hello(greet("a"))->ok());
}

// Protocol: app-key-proves
TEST_F(OwnershipTest, HellosOfStrangersThatWaitDoNotTakeTheSessionThatComes) {
  const auto stranger = as(mallory, [&] { return hello(greet("a", {"127.0.0.1:6666"})); });
  const auto own = hello(greet("a"));
  const auto requested = req(want("a"));
  EXPECT_TRUE(own->ok());
  ASSERT_TRUE(requested->ok());
  EXPECT_EQ((**requested->result).prod_listeners, std::vector<std::string>{"127.0.0.1:7000"});
  wait_for_held();
  EXPECT_EQ(stranger->cause(), "not_found");
}

// Protocol: sessions-a-user
TEST_F(OwnershipTest, AUserHasSoManySessionsAndOthersHaveTheirs) {
  by.most_sessions = 2;
  set_up("a");
  set_up("b");
  const auto third = req(want("c"));
  EXPECT_EQ(third->cause(), "exhausted");
  EXPECT_NE(third->result->error().message.find("may have 2"), std::string::npos);
  Principal other = mallory;
  other.most_sessions = 2;
  EXPECT_TRUE(as(other, [&] { return req(want("d")); })->pending());
  ASSERT_TRUE(release("a")->ok());
  EXPECT_TRUE(req(want("c"))->pending());
}

/// One whose facility allows one network, and denies one address of it.
class DestinationTest : public ManagerTest {
 protected:
  DestinationTest() {
    auto limited = options();
    limited.destinations = [](Role role, const auto&) {
      return *net::Destinations::parse(role == Role::producer
                                           ? std::vector<std::string>{"10.0.0.0/8", "!10.0.0.1"}
                                           : std::vector<std::string>{"192.0.2.0/24"});
    };
    manager = std::make_unique<Manager>(time, data_server, store, limited, null_logger());
  }

  std::string targeting(const std::string& target) {
    const auto requested = req(want("a"));
    (void)hello(greet("a"));
    const auto updated = update(aim("a", {*parse_endpoint(target)}));
    (void)release("a");
    (void)release("a");
    return updated->ok() ? "ok" : updated->cause();
  }
};

// Protocol: targets-allowed
TEST_F(DestinationTest, TargetsElsewhereAreRefusedAtOnce) {
  EXPECT_EQ(targeting("10.1.2.3:80"), "ok");
  EXPECT_EQ(targeting("10.0.0.1:80"), "permission_denied");
  EXPECT_EQ(targeting("127.0.0.1:80"), "permission_denied");
  EXPECT_EQ(targeting("169.254.169.254:80"), "permission_denied");
  EXPECT_EQ(targeting("[::ffff:127.0.0.1]:80"), "permission_denied");
  EXPECT_EQ(targeting("[::ffff:10.1.2.3]:80"), "ok");
  EXPECT_EQ(targeting("instrument.example.org:80"), "ok")
      << "which is looked at when it is dialled";
}

// Protocol: targets-allowed
TEST_F(DestinationTest, TheDataServerIsToldWhereTheyMayBe) {
  const auto requested = req(want("a"));
  ASSERT_TRUE(hello(greet("a"))->ok());
  ASSERT_TRUE(update(aim("a", {{"10.1.2.3", 80}}))->ok());
  const SessionKey key{"a", Role::producer};
  EXPECT_EQ(data_server->allowed[key].to_strings(),
            (std::vector<std::string>{"10.0.0.0/8", "!10.0.0.1"}));
}

// Protocol: targets-of-a-user
TEST_F(DestinationTest, APolicyMayAllowAUserOtherTargets) {
  by.targets = {*net::parse_destination("198.51.100.0/24:5000-5999")};
  EXPECT_EQ(targeting("198.51.100.7:5500"), "ok");
  EXPECT_EQ(targeting("198.51.100.7:22"), "permission_denied");
  EXPECT_EQ(targeting("10.1.2.3:5500"), "permission_denied");
}

}  // namespace
}  // namespace scistream::session

// What every store keeps to, and what the one on disk adds.
#include "session/store.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/file.hpp"
#include "session/released_ids.hpp"
#include "session/sqlite_store.hpp"
#include "session/stored_json.hpp"
#include "support/memory_store.hpp"
#include "support/temporary_directory.hpp"

namespace scistream::session {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

system_clock::time_point at(std::int64_t ms) { return system_clock::time_point(milliseconds(ms)); }

StoredSession a_session(const std::string& uid, Role role = Role::producer) {
  StoredSession session;
  session.request.key = {uid, role};
  session.request.num_conn = 2;
  session.request.rate.mbps = 100;
  session.request.rate.is_explicit = true;
  session.request.labels = {{"job", "42"}, {"note", "a \"quoted\" é"}};
  session.request.app_key = Secret::random(key_size);
  session.request.lifetime = milliseconds(5'000);
  session.request.claim = "claim";
  session.request.caller_host = "10.0.0.1";
  session.phase = Phase::ready;
  session.rate_is_leased = true;
  session.counters_before.bytes_to_consumer = 1ULL << 63U;
  session.counters_before.connections_total = 7;
  session.counters_before.errors = 3;
  session.ports = {5100, 65535};
  session.listeners = {"127.0.0.1:5100", "[::1]:65535"};
  session.prod_listeners = {"10.0.0.9:7000"};
  session.targets = UpdateTargets{};
  session.targets->targets = {{"10.0.0.9", 7000}, {"::1", 7001}};
  session.targets->data_key = Secret::random(key_size);
  session.nonces = {"0123456789abcdef", "fedcba9876543210"};
  session.born = at(1'700'000'000'123);
  session.ready_since = at(1'700'000'001'456);
  return session;
}

void expect_equal(const StoredSession& a, const StoredSession& b) {
  EXPECT_EQ(to_json(a), to_json(b));
  EXPECT_EQ(a.request.app_key, b.request.app_key);
  EXPECT_TRUE(same_values(a.request, b.request));
  ASSERT_EQ(a.targets.has_value(), b.targets.has_value());
  if (a.targets) {
    EXPECT_EQ(a.targets->data_key, b.targets->data_key);
  }
}

struct InMemory {
  std::shared_ptr<Store> open() { return store; }
  std::shared_ptr<Store> store = std::make_shared<MemoryStore>();
};

struct OnDisk {
  std::shared_ptr<Store> open() {
    auto store = SqliteStore::open(folder.path() / "sessions.db", null_logger());
    EXPECT_TRUE(store.ok()) << store.error().message;
    return std::move(*store);
  }
  TemporaryDirectory folder;
};

template <class Place>
class StoreContract : public ::testing::Test {
 protected:
  Place place;
};
using Places = ::testing::Types<InMemory, OnDisk>;
TYPED_TEST_SUITE(StoreContract, Places);

TYPED_TEST(StoreContract, GivesBackWhatItWasGivenAlsoToItsSuccessor) {
  const auto first = a_session("b");
  auto second = a_session("a", Role::consumer);
  second.phase = Phase::hello;
  second.targets.reset();
  second.request.app_key = {};
  {
    const auto store = this->place.open();
    ASSERT_TRUE(store->save(first).ok());
    ASSERT_TRUE(store->save(second).ok());
  }
  const auto contents = this->place.open()->load();
  ASSERT_TRUE(contents.ok());
  ASSERT_EQ(contents->sessions.size(), 2U);
  expect_equal(contents->sessions[0], second);
  expect_equal(contents->sessions[1], first);
  EXPECT_TRUE(contents->released.empty());
}

TYPED_TEST(StoreContract, SavingAgainReplaces) {
  auto session = a_session("a");
  const auto store = this->place.open();
  ASSERT_TRUE(store->save(session).ok());
  session.phase = Phase::ended;
  session.draining = true;
  ASSERT_TRUE(store->save(session).ok());
  const auto contents = store->load();
  ASSERT_EQ(contents->sessions.size(), 1U);
  EXPECT_EQ(contents->sessions.front().phase, Phase::ended);
  EXPECT_TRUE(contents->sessions.front().draining);
}

TYPED_TEST(StoreContract, ForgettingRemembersTheIdAndLeavesTheOtherRole) {
  {
    const auto store = this->place.open();
    ASSERT_TRUE(store->save(a_session("a", Role::producer)).ok());
    ASSERT_TRUE(store->save(a_session("a", Role::consumer)).ok());
    ASSERT_TRUE(store->forget({"a", Role::producer}, "alice", at(5)).ok());
    ASSERT_TRUE(store->forget({"never there", Role::producer}, "alice", at(6)).ok());
  }
  const auto contents = this->place.open()->load();
  ASSERT_EQ(contents->sessions.size(), 1U);
  EXPECT_EQ(contents->sessions.front().request.key.role, Role::consumer);
  ASSERT_EQ(contents->released.size(), 2U);
  EXPECT_EQ(contents->released.front().uid, "a");
  EXPECT_EQ(contents->released.front().owner, "alice");
  EXPECT_EQ(contents->released.front().when, at(5));
}

// Protocol: store-private
TEST(SqliteStore, IsPrivate) {
  OnDisk disk;
  const auto store = disk.open();
  ASSERT_TRUE(store->save(a_session("a")).ok());
  for (const auto& file : std::filesystem::directory_iterator(disk.folder.path())) {
    EXPECT_EQ(file.status().permissions() & std::filesystem::perms::mask,
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << file.path();
  }
}

// Protocol: keys-wiped
TEST(SqliteStore, NoKeyStaysOnDiskOnceTidied) {
  OnDisk disk;
  const auto store = disk.open();
  const auto session = a_session("a");
  const auto on_disk = [&] {
    std::string all;
    for (const auto& file : std::filesystem::directory_iterator(disk.folder.path())) {
      std::ifstream in(file.path(), std::ios::binary);
      all.append(std::istreambuf_iterator<char>(in), {});
    }
    return all.find(session.request.app_key.hex()) != std::string::npos;
  };
  ASSERT_TRUE(store->save(session).ok());
  EXPECT_TRUE(on_disk());
  ASSERT_TRUE(store->forget(session.request.key, "alice", at(1)).ok());
  ASSERT_TRUE(store->tidy().ok());
  EXPECT_FALSE(on_disk());
}

TEST(SqliteStore, DoesNotGrowWithWhatHasEnded) {
  OnDisk disk;
  const auto file = disk.folder.path() / "sessions.db";
  const auto rounds = [&](int count) {
    const auto store = disk.open();
    for (int i = 0; i < count; ++i) {
      const auto session = a_session("session-" + std::to_string(i));
      ASSERT_TRUE(store->save(session).ok());
      ASSERT_TRUE(store->forget(session.request.key, "alice", at(i)).ok());
    }
  };
  const int full = static_cast<int>(ReleasedIds::most) + 500;
  rounds(full);
  const auto size = std::filesystem::file_size(file);
  rounds(full);
  EXPECT_LE(std::filesystem::file_size(file), size * 5 / 4);
}

TEST(SqliteStore, RemembersNoMoreReleasedIdsThanTheProtocolSays) {
  OnDisk disk;
  const auto store = disk.open();
  for (std::size_t i = 0; i < ReleasedIds::most + 500; ++i)
    ASSERT_TRUE(store->forget({"s" + std::to_string(i), Role::producer}, "alice", at(0)).ok());
  EXPECT_EQ(store->load()->released.size(), ReleasedIds::most);
}

TEST(SqliteStore, ADamagedFileIsMovedAside) {
  for (const std::string& damage : {std::string("this is no database"), std::string(5'000, 'x')}) {
    OnDisk disk;
    const auto file = disk.folder.path() / "sessions.db";
    std::ofstream(file) << damage;
    const auto store = disk.open();
    ASSERT_TRUE(store->save(a_session("a")).ok());
    bool kept = false;
    for (const auto& other : std::filesystem::directory_iterator(disk.folder.path()))
      kept = kept || other.path().filename().string().starts_with("sessions.db.damaged-");
    EXPECT_TRUE(kept);
  }
}

TEST(SqliteStore, DamageFurtherInIsFoundAsWell) {
  OnDisk disk;
  const auto file = disk.folder.path() / "sessions.db";
  {
    const auto store = disk.open();
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(store->save(a_session("s" + std::to_string(i))).ok());
  }
  {
    std::fstream page(file, std::ios::in | std::ios::out | std::ios::binary);
    page.seekp(std::streamoff{3} * 4096);
    page << std::string(4096, '\x5a');
  }
  const auto contents = disk.open()->load();
  ASSERT_TRUE(contents.ok());
  EXPECT_LT(contents->sessions.size(), 50U);
}

TEST(SqliteStore, ANewerVersionsFileIsLeftAlone) {
  OnDisk disk;
  const auto file = disk.folder.path() / "sessions.db";
  disk.open().reset();
  {
    std::fstream header(file, std::ios::in | std::ios::out | std::ios::binary);
    header.seekp(60);  // user_version, big-endian
    header << std::string("\0\0\0\x63", 4);
  }
  const auto store = SqliteStore::open(file, null_logger());
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().cause, Cause::failed_precondition);
  EXPECT_NE(store.error().message.find("newer version"), std::string::npos);
}

TEST(SqliteStore, AFolderThatIsNotThereIsNamed) {
  const auto store = SqliteStore::open("/nowhere/sessions.db", null_logger());
  ASSERT_FALSE(store.ok());
  EXPECT_NE(store.error().message.find("/nowhere/sessions.db"), std::string::npos);
}

TEST(StoredJson, RefusesWhatCannotBe) {
  const auto refused = [](const std::string& from, const std::string& to) {
    std::string text = to_json(a_session("a"));
    EXPECT_TRUE(stored_session(text).ok());
    const auto place = text.find(from);
    EXPECT_NE(place, std::string::npos) << from;
    text.replace(place, from.size(), to);
    return !stored_session(text).ok();
  };
  EXPECT_TRUE(refused("\"PROD\"", "\"ANY\""));
  EXPECT_TRUE(refused("\"uid\":\"a\"", "\"uid\":\"../a\""));
  EXPECT_TRUE(refused("\"num_conn\":2", "\"num_conn\":0"));
  EXPECT_TRUE(refused("[5100,65535]", "[5100]"));
  EXPECT_TRUE(refused("[5100,65535]", "[5100,65536]"));
  EXPECT_TRUE(refused("\"num_conn\":2", "\"num_conn\":2e34"));
  EXPECT_TRUE(refused("\"num_conn\":2", "\"num_conn\":2.5"));
  EXPECT_TRUE(refused("1700000000123", "9223372036854775807"));
  EXPECT_TRUE(refused("\"phase\":\"ready\"", "\"phase\":\"fresh\""));
  EXPECT_TRUE(refused("10.0.0.9:7000\",\"[::1]", "10.0.0.9:0\",\"[::1]"));
  EXPECT_TRUE(refused("\"nonces\"", "\"nonsense\""));
  const std::string whole = to_json(a_session("a"));
  const auto key = whole.find(R"("app_key":")") + 11;
  const auto cut = stored_session(whole.substr(0, key + 40));
  ASSERT_FALSE(cut.ok());
  EXPECT_EQ(cut.error().message.find(whole.substr(key, 16)), std::string::npos)
      << "keys stay secret";
  EXPECT_FALSE(stored_session("").ok());
  EXPECT_FALSE(stored_session("[]").ok());
}

class SealedStoreTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<SqliteStore> open(const Secret& key) const {
    auto store = SqliteStore::open(file_, null_logger(), key);
    EXPECT_TRUE(store.ok()) << store.error().message;
    return std::move(*store);
  }
  /// What is in the store's files.
  [[nodiscard]] std::string bytes() const {
    std::string all;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
      all += *read_file(entry.path(), 1U << 24U);
    return all;
  }

  const TemporaryDirectory folder_;
  const std::filesystem::path file_ = folder_.path() / "sessions.db";
  const Secret key_ = Secret::random(32);
};

TEST_F(SealedStoreTest, WhatIsKeptOfSessionsOpensWithTheFacilitysKeyOnly) {
  const auto session = a_session("a");
  ASSERT_TRUE(open(key_)->save(session).ok());
  for (const std::string& said : {session.request.app_key.hex(), session.targets->data_key.hex(),
                                  std::string("10.0.0.9"), std::string("fedcba9876543210")})
    EXPECT_EQ(bytes().find(said), std::string::npos) << said;
  for (const Secret& other : {Secret(), Secret::random(32)}) {
    const auto closed = open(other)->load();
    EXPECT_EQ(closed.error().cause, Cause::failed_precondition);
  }
  const auto again = open(key_)->load();
  ASSERT_TRUE(again.ok()) << again.error().message;
  ASSERT_EQ(again->sessions.size(), 1U);  // the wrong keys have removed nothing
  expect_equal(again->sessions.front(), session);
}

TEST_F(SealedStoreTest, SealsWhatWasKeptWithoutAKeyBefore) {
  const auto session = a_session("a");
  ASSERT_TRUE(open({})->save(session).ok());
  EXPECT_NE(bytes().find(session.request.app_key.hex()), std::string::npos);
  {
    const auto store = open(key_);
    const auto contents = store->load();
    ASSERT_TRUE(contents.ok());
    ASSERT_EQ(contents->sessions.size(), 1U);
    ASSERT_TRUE(store->save(contents->sessions.front()).ok());
    ASSERT_TRUE(store->tidy().ok());
  }
  EXPECT_EQ(bytes().find(session.request.app_key.hex()), std::string::npos);
}

}  // namespace
}  // namespace scistream::session

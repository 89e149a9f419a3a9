#include "client/token_store.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <future>

#include "base/file.hpp"
#include "support/temporary_directory.hpp"

namespace scistream::client {
namespace {

using std::chrono::seconds;
using std::chrono::system_clock;

const std::string issuer = "https://id.example";

Login login(const std::string& scope = "scistream", const std::string& at = issuer) {
  Login made;
  made.provider.issuer = at;
  made.provider.authorization = {true, {"id.example", 443}, "/a"};
  made.provider.token = {true, {"id.example", 443}, "/t"};
  made.provider.revocation = net::Url{true, {"id.example", 443}, "/r"};
  made.scope = scope;
  made.client_id = "me";
  made.tokens.access = Secret(std::string_view("acc3ss"));
  made.tokens.refresh = Secret(std::string_view("r3fresh"));
  made.tokens.expires = system_clock::time_point(seconds(2'000'000'000));
  made.tokens.name = "alice@example.org";
  made.servers = {{"gw1", 5000}};
  return made;
}

class TokenStoreTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path file() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path() / "logins"))
      if (entry.path().extension() == ".json") return entry.path();
    return {};
  }
  static unsigned mode(const std::filesystem::path& path) {
    return static_cast<unsigned>(std::filesystem::status(path).permissions()) & 0777U;
  }

  TemporaryDirectory folder_;
  const TokenStore store_{folder_.path(), nullptr};
};

TEST_F(TokenStoreTest, KeepsAllOfALogin) {
  EXPECT_FALSE(store_.find(issuer, "scistream")->has_value());
  ASSERT_TRUE(store_.save(login()).ok());
  const auto found = store_.find(issuer, "scistream");
  ASSERT_TRUE(found.ok()) << found.error().message;
  ASSERT_TRUE(*found);
  const Login& kept = **found;
  EXPECT_EQ(kept.tokens.access, login().tokens.access);
  EXPECT_EQ(kept.tokens.refresh, login().tokens.refresh);
  EXPECT_EQ(kept.tokens.expires, login().tokens.expires);
  EXPECT_EQ(kept.tokens.name, "alice@example.org");
  EXPECT_EQ(kept.client_id, "me");
  EXPECT_EQ(kept.servers, login().servers);
  EXPECT_EQ(kept.provider.token, login().provider.token);
  EXPECT_EQ(kept.provider.revocation, login().provider.revocation);
  EXPECT_FALSE(kept.provider.userinfo);
  EXPECT_FALSE(store_.find("https://other.example", "scistream")->has_value());
  EXPECT_TRUE(*store_.remove(issuer, "scistream"));
  EXPECT_FALSE(*store_.remove(issuer, "scistream"));
}

TEST_F(TokenStoreTest, OneThatNeverExpiresStaysSo) {
  Login made = login();
  made.tokens.expires = system_clock::time_point::max();
  ASSERT_TRUE(store_.save(made).ok());
  EXPECT_EQ((*store_.find(issuer, "scistream"))->tokens.expires, system_clock::time_point::max());
}

TEST_F(TokenStoreTest, IsForTheUserAlone) {
  ASSERT_TRUE(store_.save(login()).ok());
  ASSERT_TRUE(store_.lock(issuer, "scistream").ok());
  EXPECT_EQ(mode(folder_.path() / "logins"), 0700U);
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path() / "logins"))
    EXPECT_EQ(mode(entry.path()), 0600U) << entry.path();
  std::filesystem::permissions(file(), std::filesystem::perms(0640));
  const auto found = store_.find(issuer, "scistream");
  EXPECT_EQ(found.error().cause, Cause::permission_denied);
  EXPECT_NE(found.error().message.find("chmod 600"), std::string::npos);
}

TEST_F(TokenStoreTest, AScopeIsFoundUnlessItIsAtTwoProviders) {
  ASSERT_TRUE(store_.save(login()).ok());
  EXPECT_TRUE(store_.find(std::string("scistream"))->has_value());
  EXPECT_FALSE(store_.find(std::string("other"))->has_value());
  ASSERT_TRUE(store_.save(login("scistream", "https://other.example")).ok());
  const auto both = store_.find(std::string("scistream"));
  EXPECT_EQ(both.error().cause, Cause::failed_precondition);
  EXPECT_NE(both.error().message.find("https://other.example"), std::string::npos);
}

TEST_F(TokenStoreTest, AServerHasTheLoginThatItWasGivenLast) {
  ASSERT_TRUE(store_.save(login("one")).ok());
  ASSERT_TRUE(store_.save(login("two")).ok());
  EXPECT_EQ(store_.find(Endpoint{"gw1", 5000}).error().cause, Cause::failed_precondition);
  ASSERT_TRUE(store_.give({"GW1.", 5000}, issuer, "two").ok());
  EXPECT_EQ((*store_.find(Endpoint{"gw1", 5000}))->scope, "two");
  EXPECT_FALSE(store_.find(Endpoint{"gw1", 5001})->has_value());
  ASSERT_TRUE(store_.give({"gw1", 5000}, issuer, "one").ok());
  EXPECT_EQ((*store_.find(Endpoint{"gw1", 5000}))->scope, "one");
}

TEST_F(TokenStoreTest, ADamagedFileIsNamedAndNotShown) {
  ASSERT_TRUE(store_.save(login()).ok());
  const auto path = file();
  for (const char* text :
       {"", "acc3ss", "{}", "[]", R"({"access_token": "acc3ss", "endpoints": 7})",
        R"({"access_token": "acc3ss", "scope": "s", "issuer": "i", "expires": "acc3ss"})"}) {
    std::ofstream(path, std::ios::trunc) << text;
    for (const auto& found : {store_.find(issuer, "scistream"), store_.find(std::string("x")),
                              store_.find(Endpoint{"gw1", 5000})}) {
      ASSERT_FALSE(found.ok()) << text;
      EXPECT_NE(found.error().message.find(path.string()), std::string::npos);
      EXPECT_NE(found.error().message.find("log in again"), std::string::npos);
      EXPECT_EQ(found.error().message.find("acc3ss"), std::string::npos);
    }
  }
  // It is in nobody's way.
  ASSERT_TRUE(store_.save(login("another")).ok());
  EXPECT_TRUE(store_.find(std::string("another"))->has_value());
  EXPECT_EQ(store_.all().damaged.size(), 1U);
  ASSERT_TRUE(store_.remove_all().ok());
  EXPECT_TRUE(store_.all().damaged.empty());
}

TEST_F(TokenStoreTest, OneAtATimeChangesALogin) {
  auto first = std::make_optional(store_.lock(issuer, "scistream"));
  ASSERT_TRUE(first->ok());
  EXPECT_TRUE(store_.lock(issuer, "other").ok());
  auto second =
      std::async(std::launch::async, [this] { return store_.lock(issuer, "scistream").ok(); });
  EXPECT_EQ(second.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  first.reset();
  EXPECT_TRUE(second.get());
}

struct MadeUpKeyring final : Keyring {
  Result<Secret> find() override { return key; }
  Result<Secret> make() override {
    ++made;
    return key = Secret::random(32);
  }
  Result<Secret> key = Secret();
  int made = 0;
};

class SealedTokenStoreTest : public TokenStoreTest {
 protected:
  [[nodiscard]] std::string content() const { return *read_file(file()); }

  const std::shared_ptr<MadeUpKeyring> keyring_ = std::make_shared<MadeUpKeyring>();
  const TokenStore sealing_{folder_.path(), keyring_};
};

TEST_F(SealedTokenStoreTest, AKeyringsKeySealsAll) {
  ASSERT_TRUE(sealing_.save(login()).ok());
  ASSERT_TRUE(sealing_.save(login("other")).ok());
  EXPECT_EQ(keyring_->made, 1);
  for (const char* said : {"acc3ss", "r3fresh", "alice", "id.example"})
    EXPECT_EQ(content().find(said), std::string::npos) << said;
  const auto found = sealing_.find(issuer, "scistream");
  ASSERT_TRUE(found.ok() && *found);
  EXPECT_TRUE((*found)->is_sealed);
  EXPECT_EQ((*found)->tokens.access.view(), "acc3ss");
  EXPECT_EQ(sealing_.all().logins.size(), 2U);
}

TEST_F(SealedTokenStoreTest, WithoutTheKeyItIsSaidWhatToDo) {
  ASSERT_TRUE(sealing_.save(login()).ok());
  const auto none = store_.find(issuer, "scistream");
  EXPECT_EQ(none.error().cause, Cause::failed_precondition);
  EXPECT_NE(none.error().message.find("log in again"), std::string::npos);
  keyring_->key = Secret::random(32);
  EXPECT_EQ(sealing_.find(issuer, "scistream").error().cause, Cause::failure);
  // As one says that is locked: what it has must stay.
  keyring_->key = Secret();
  EXPECT_EQ(sealing_.find(issuer, "scistream").error().cause, Cause::failed_precondition);
  ASSERT_TRUE(sealing_.save(login("other")).ok());
  EXPECT_EQ(keyring_->made, 1);
  EXPECT_FALSE(sealing_.keyring_trouble().ok());
  EXPECT_FALSE((*sealing_.find(issuer, "other"))->is_sealed);
  // Logging in anew is always possible.
  ASSERT_TRUE(store_.save(login()).ok());
  EXPECT_TRUE(store_.find(issuer, "scistream")->has_value());
}

TEST_F(SealedTokenStoreTest, OneThatCannotBeUsedIsDoneWithout) {
  keyring_->key = Error{Cause::unavailable, "it stays locked"};
  ASSERT_TRUE(sealing_.save(login()).ok());
  EXPECT_FALSE(sealing_.keyring_trouble().ok());
  EXPECT_FALSE((*sealing_.find(issuer, "scistream"))->is_sealed);
  // And the next time it is sealed.
  keyring_->key = Secret();
  ASSERT_TRUE(sealing_.save(login()).ok());
  EXPECT_TRUE((*sealing_.find(issuer, "scistream"))->is_sealed);
}

TEST_F(SealedTokenStoreTest, OneFileDoesNotPassForAnother) {
  ASSERT_TRUE(sealing_.save(login()).ok());
  const auto first = file();
  const auto text = content();
  ASSERT_TRUE(sealing_.remove(issuer, "scistream").value());
  ASSERT_TRUE(sealing_.save(login("other")).ok());
  ASSERT_TRUE(write_private_file(file(), text).ok());
  EXPECT_EQ(sealing_.find(issuer, "other").error().cause, Cause::failure);
}

TEST(TokenStore, WithoutAFolderThereAreNone) {
  const TokenStore none{{}, nullptr};
  EXPECT_FALSE(none.find(issuer, "x")->has_value());
  EXPECT_TRUE(none.all().logins.empty());
  EXPECT_EQ(none.save(login()).error().cause, Cause::failed_precondition);
}

}  // namespace
}  // namespace scistream::client

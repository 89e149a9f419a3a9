#include "client/token_source.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <future>

#include "support/temporary_directory.hpp"
#include "support/web_server.hpp"

namespace scistream::client {
namespace {

using namespace scistream::test;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::system_clock;

const Endpoint gw1{"gw1", 5000};
const Endpoint gw2{"gw2", 5000};

Secret secret(const char* text) { return Secret(std::string_view(text)); }

class TokenSourceTest : public ::testing::Test {
 protected:
  [[nodiscard]] TokenOptions options() const {
    TokenOptions options;
    options.state_directory = folder_.path();
    options.config_directory = folder_.path() / "config";
    options.oauth.limit = milliseconds(300);
    options.oauth.now = [this] { return now_; };
    return options;
  }
  /// One whose provider is that server, and which expires so long from now.
  void log_in(const net::Url& provider, seconds expires, const std::string& scope = "scistream") {
    Login login;
    login.provider.issuer = server_of(provider);
    login.provider.authorization = login.provider.token = provider;
    login.scope = scope;
    login.client_id = "me";
    login.tokens.access = secret("old-acc3ss");
    login.tokens.refresh = secret("r3fresh");
    login.tokens.expires = now_ + expires;
    login.servers = {gw1};
    must(store_.save(login));
  }
  std::filesystem::path write(const char* name, const std::string& text, mode_t mode = 0600) {
    const auto path = folder_.path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::trunc) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }
  static std::optional<std::string> give(const std::string&) {
    return http_answer(
        R"({"access_token": "new-acc3ss", "token_type": "Bearer", "expires_in": 3600})");
  }

  TemporaryDirectory folder_;
  const TokenStore store_{folder_.path(), nullptr};
  const net::Url nobody_{false, {"127.0.0.1", 1}, "/token"};
  const system_clock::time_point now_ = std::chrono::time_point_cast<seconds>(system_clock::now());
};

TEST_F(TokenSourceTest, WithoutALoginThereIsNoToken) {
  TokenSource source(options());
  EXPECT_TRUE(must(source.token_for(gw1)).empty());
  const auto asked = source.token_for(gw1, "scistream");
  EXPECT_EQ(asked.error().cause, Cause::unauthenticated);
  EXPECT_NE(asked.error().message.find("s2uc login --scope scistream"), std::string::npos);
}

TEST_F(TokenSourceTest, AGivenTokenGoesToEveryServer) {
  TokenOptions given = options();
  given.token = secret("giv3n");
  EXPECT_EQ(must(TokenSource(given).token_for(gw2, "x")), secret("giv3n"));
  given.token = secret("giv3n token");
  const auto bad = TokenSource(given).token_for(gw1);
  EXPECT_EQ(bad.error().cause, Cause::invalid_argument);
  EXPECT_EQ(bad.error().message.find("giv3n"), std::string::npos);
}

TEST_F(TokenSourceTest, AFileIsReadAgainAndIsPrivate) {
  TokenOptions given = options();
  given.token_file = write("token", "one\n");
  TokenSource source(given);
  EXPECT_EQ(must(source.token_for(gw1)), secret("one"));
  write("token", "two");
  EXPECT_EQ(must(source.token_for(gw1)), secret("two"));
  write("token", "two words");
  EXPECT_EQ(source.token_for(gw1).error().cause, Cause::invalid_argument);
  write("token", "three", 0640);
  EXPECT_EQ(source.token_for(gw1).error().cause, Cause::permission_denied);
  std::filesystem::remove(given.token_file);
  EXPECT_EQ(source.token_for(gw1).error().cause, Cause::not_found);
}

TEST_F(TokenSourceTest, AServerGetsATokenOnlyOnceTheUserHasSaidSo) {
  log_in(nobody_, seconds(3600));
  TokenSource source(options());
  EXPECT_EQ(must(source.token_for(gw1)), secret("old-acc3ss"));
  EXPECT_TRUE(must(source.token_for(gw2)).empty());
  EXPECT_EQ(must(source.token_for(gw2, "scistream")), secret("old-acc3ss"));
  EXPECT_EQ(must(source.token_for(gw2)), secret("old-acc3ss"));
  EXPECT_TRUE(must(source.token_for({"gw2", 5001})).empty());
}

TEST_F(TokenSourceTest, TheConfigurationNamesServersAsWell) {
  log_in(nobody_, seconds(3600));
  write("config/config.toml",
        "[server.\"GW2:5000\"]\nscope = \"scistream\"\nissuer = \"" + server_of(nobody_) + "\"\n");
  TokenSource source(options());
  EXPECT_EQ(must(source.token_for(gw2)), secret("old-acc3ss"));
  write("config/config.toml", "[server.\"gw2:5000\"]\nscope = \"other\"\n");
  EXPECT_EQ(source.token_for(gw2).error().cause, Cause::unauthenticated);
  for (const char* bad :
       {"[server.\"gw2\"]\nscope = \"x\"", "[server.\"gw2:1\"]\nscoop = \"x\"",
        "[server.\"gw2:1\"]", "[servers]", "server = 7", "=", "[workflow]\nclient_id = \"x\""}) {
    write("config/config.toml", bad);
    const auto got = source.token_for(gw2);
    ASSERT_FALSE(got.ok()) << bad;
    EXPECT_NE(got.error().message.find("config.toml', line "), std::string::npos);
  }
}

TEST_F(TokenSourceTest, TwoAtOnceRenewOnce) {
  const WebServer server(give);
  log_in(server.url("/token"), seconds(30));
  TokenSource one(options());
  TokenSource two(options());
  auto other = std::async(std::launch::async, [&two] { return must(two.token_for(gw1)); });
  EXPECT_EQ(must(one.token_for(gw1)), secret("new-acc3ss"));
  EXPECT_EQ(other.get(), secret("new-acc3ss"));
  EXPECT_EQ(server.requests().size(), 1U);
  EXPECT_NE(server.requests().at(0).find("refresh_token=r3fresh"), std::string::npos);
  EXPECT_EQ((*store_.find(gw1))->tokens.access, secret("new-acc3ss"));
}

TEST_F(TokenSourceTest, WhileTheProviderIsAwayATokenIsUsedUntilItsEnd) {
  const WebServer silent([](const std::string&) { return std::nullopt; });
  for (const net::Url& away : {nobody_, silent.url("/token")}) {
    log_in(away, seconds(30));
    EXPECT_EQ(must(TokenSource(options()).token_for(gw1)), secret("old-acc3ss"));
    log_in(away, seconds(-1));
    const auto late = TokenSource(options()).token_for(gw1);
    EXPECT_EQ(late.error().cause, Cause::unavailable) << late.error().message;
    EXPECT_EQ(late.error().message.find("acc3ss"), std::string::npos);
    must(store_.remove(server_of(away), "scistream"));
  }
}

TEST_F(TokenSourceTest, OneThatIsNotRenewedSaysHowToLogInAgain) {
  const WebServer server([](const std::string&) {
    return http_answer(R"({"error": "invalid_grant", "error_description": "r3fresh is old"})", "",
                       "400 Bad Request");
  });
  log_in(server.url("/token"), seconds(-1));
  const auto late = TokenSource(options()).token_for(gw1);
  EXPECT_EQ(late.error().cause, Cause::unauthenticated);
  EXPECT_EQ(late.error().message,
            "the login for scistream has expired; log in again: s2uc login --scope scistream "
            "--provider " +
                server_of(server.url()));
}

TEST_F(TokenSourceTest, AWorkflowLogsInByItselfAndOnlyForServersThatAreNamed) {
  std::string answer;
  const WebServer server([&answer](const std::string& request) {
    return request.starts_with("GET") ? http_answer(answer) : give(request);
  });
  const std::string issuer = server_of(server.url());
  answer = R"({"issuer": ")" + issuer + R"(", "authorization_endpoint": ")" + issuer +
           R"(/a", "token_endpoint": ")" + issuer + R"(/t"})";
  TokenOptions given = options();
  given.workflow = {"engine", write("secret", "s3cret\n"), issuer};
  TokenSource source(given);
  EXPECT_TRUE(must(source.token_for(gw1)).empty());
  EXPECT_EQ(must(source.token_for(gw1, "scistream")), secret("new-acc3ss"));
  EXPECT_EQ(must(source.token_for(gw2, "scistream")), secret("new-acc3ss"));
  EXPECT_EQ(server.requests().size(), 2U);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "logins"));
  ::chmod(given.workflow.client_secret_file.c_str(), 0644);
  EXPECT_EQ(TokenSource(given).token_for(gw1, "scistream").error().cause, Cause::permission_denied);
}

}  // namespace
}  // namespace scistream::client

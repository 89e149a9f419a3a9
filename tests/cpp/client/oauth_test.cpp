#include "client/oauth.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <nlohmann/json.hpp>

#include "base/base64url.hpp"
#include "base/secret.hpp"
#include "client/oauth_answers.hpp"
#include "client/redirect_receiver.hpp"
#include "support/web_server.hpp"

namespace scistream::client {
namespace {

using namespace scistream::test;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::system_clock;

const std::string uid = "c42c0dac-0a52-408e-a04f-5d31bfe0aef8";

Secret secret(const char* text) { return Secret(std::string_view(text)); }

Provider provider_at(const WebServer& server) {
  Provider provider;
  provider.issuer = server_of(server.url());
  provider.authorization = server.url("/authorize");
  provider.token = server.url("/token");
  provider.device_authorization = server.url("/device");
  provider.revocation = server.url("/revoke");
  return provider;
}

std::string id_token(const json& claims) {
  const auto part = [](const json& each) {
    const std::string text = each.dump();
    return base64url({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  };
  return part({{"alg", "none"}}) + "." + part(claims) + ".c2ln";
}

json tokens(const json& changes = json::object()) {
  json all{{"access_token", "access-1"},
           {"refresh_token", "refresh-1"},
           {"token_type", "Bearer"},
           {"expires_in", 3600},
           {"scope", "openid scistream"}};
  all.merge_patch(changes);
  return all;
}

std::string refused(const json& document) {
  return http_answer(document.dump(), "", "400 Bad Request");
}

Result<Granted> read(const json& answer) {
  return granted_in(answer.dump(), {"https://id.example", "me", "scistream", "n0"},
                    system_clock::time_point(seconds(1'000)));
}

TEST(OAuthAnswer, OfSeveralTokensTheOneWithTheScopeIsTaken) {
  const auto granted =
      read(tokens({{"scope", "openid email"},
                   {"other_tokens",
                    {{{"access_token", "other"}, {"scope", "transfer"}, {"token_type", "Bearer"}},
                     {{"access_token", "ours"}, {"scope", "x scistream"}, {"expires_in", 60}}}}}));
  ASSERT_TRUE(granted.ok()) << granted.error().message;
  EXPECT_EQ(granted->tokens.access, secret("ours"));
  EXPECT_EQ(granted->for_userinfo, secret("access-1"));
  EXPECT_EQ(granted->tokens.expires, system_clock::time_point(seconds(1'060)));
  EXPECT_TRUE(granted->tokens.refresh.empty());
  // Any other would be of use to who gets it, and of none here.
  EXPECT_EQ(read(tokens({{"scope", "openid"}})).error().cause, Cause::permission_denied);
  EXPECT_EQ(read(tokens({{"scope", "scistreamer"}})).error().cause, Cause::permission_denied);
  EXPECT_TRUE(read(tokens({{"scope", nullptr}})).ok());
}

TEST(OAuthAnswer, WhatIsNoTokenIsRefused) {
  for (const json& change :
       {json{{"access_token", nullptr}}, json{{"access_token", 7}}, json{{"access_token", ""}},
        json{{"access_token", "two words"}}, json{{"access_token", "new\nline"}},
        json{{"access_token", std::string(20'000, 'a')}}, json{{"token_type", "mac"}}})
    EXPECT_EQ(read(tokens(change)).error().cause, Cause::unavailable) << change;
  EXPECT_EQ(read(json::array()).error().cause, Cause::unavailable);
  EXPECT_EQ(granted_in("<html>", {}, {}).error().cause, Cause::unavailable);
  EXPECT_EQ(read(tokens({{"expires_in", "3600"}}))->tokens.expires,
            system_clock::time_point(seconds(4'600)));
  EXPECT_EQ(read(tokens({{"expires_in", nullptr}}))->tokens.expires,
            system_clock::time_point::max());
}

TEST(OAuthAnswer, AnIdTokenSaysWhoItIsIfItIsOfThisLogin) {
  const json claims{{"iss", "https://id.example"},
                    {"aud", {"me"}},
                    {"nonce", "n0"},
                    {"sub", "user-1"},
                    {"email", "a@example.org"}};
  const auto good = read(tokens({{"id_token", id_token(claims)}}));
  ASSERT_TRUE(good.ok()) << good.error().message;
  EXPECT_EQ(good->tokens.subject, "user-1");
  EXPECT_EQ(good->tokens.name, "a@example.org");
  for (const json& change : {json{{"iss", "https://other.example"}}, json{{"aud", "other"}},
                             json{{"nonce", "n1"}}, json{{"nonce", nullptr}}}) {
    json changed = claims;
    changed.merge_patch(change);
    EXPECT_EQ(read(tokens({{"id_token", id_token(changed)}})).error().cause,
              Cause::unauthenticated);
  }
  EXPECT_FALSE(read(tokens({{"id_token", "nonsense"}})).ok());
}

TEST(OAuthAnswer, ADiscoveryDocumentIsOfItsIssuerAndSafe) {
  const json good{{"issuer", "https://id.example"},
                  {"authorization_endpoint", "https://id.example/a"},
                  {"token_endpoint", "https://tokens.example/t"},
                  {"scopes_supported", {"openid", "email"}}};
  const auto read = [&good](const json& change) {
    json changed = good;
    changed.merge_patch(change);
    return provider_in(changed.dump(), "https://id.example");
  };
  ASSERT_TRUE(read(json::object()).ok());
  EXPECT_EQ(read(json::object())->extra_scopes, "openid email");
  EXPECT_FALSE(read(json::object())->userinfo);
  for (const json& change :
       {json{{"issuer", "https://evil.example"}}, json{{"token_endpoint", "http://id.example/t"}},
        json{{"token_endpoint", "http://127.0.0.1/t"}}, json{{"authorization_endpoint", nullptr}}})
    EXPECT_EQ(read(change).error().cause, Cause::unavailable) << change;
  // What is not safe and not needed is left out.
  EXPECT_FALSE(read({{"revocation_endpoint", "http://id.example/r"}})->revocation);
}

TEST(OAuthAnswer, TheProvidersWordsAreShownWhereTheyCanBe) {
  const net::Url where{true, {"id.example", 443}, "/t"};
  const auto message = [&where](const std::string& words) {
    return refusal(where, 400, json{{"error", "x"}, {"error_description", words}}.dump(),
                   {"s3cret"})
        .message;
  };
  EXPECT_EQ(message("try later"), "'https://id.example' refuses: x (try later)");
  for (const std::string& bad :
       {std::string("\x1b[2J"), std::string(201, 'a'), std::string("the code s3cret is old")})
    EXPECT_EQ(message(bad), "'https://id.example' refuses: x");
  EXPECT_EQ(refusal(where, 503, "", {}).cause, Cause::unavailable);
}

TEST(OAuth, AsksForAScopeByTheIdThatUsersKnow) {
  EXPECT_EQ(full_scope(globus().issuer, uid),
            "https://auth.globus.org/scopes/" + uid + "/scistream");
  EXPECT_EQ(full_scope("https://id.example", uid), uid);
  EXPECT_EQ(full_scope(globus().issuer, "openid"), "openid");
}

TEST(OAuth, TheAddressHoldsTheChallengeAndNotTheVerifier) {
  const auto one = new_authorization("me", "scistream", "http://127.0.0.1:1/callback");
  const std::string address = address_of(globus(), one);
  EXPECT_TRUE(
      address.starts_with("https://auth.globus.org/v2/oauth2/authorize?client_id=me&"
                          "redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcallback&"
                          "scope=openid%20profile%20email%20scistream&state="))
      << address;
  EXPECT_NE(address.find("code_challenge=" + base64url(sha256(one.verifier.view()))),
            std::string::npos);
  EXPECT_EQ(address.find(one.verifier.view()), std::string::npos);
  EXPECT_EQ(one.verifier.size(), 43U);
  EXPECT_NE(one.state, new_authorization("me", "scistream", "").state);
}

TEST(OAuth, ExchangesACodeAndAsksWhoItIs) {
  const WebServer server([](const std::string& request) {
    if (request.starts_with("GET /userinfo"))
      return http_answer(R"({"sub": "user-1", "preferred_username": "alice@example.org"})");
    return http_answer(tokens().dump());
  });
  Provider provider = provider_at(server);
  provider.userinfo = server.url("/userinfo");
  OAuth oauth;
  const auto authorization = new_authorization("me", "scistream", "http://127.0.0.1:1/callback");
  const auto got = oauth.exchange(provider, authorization, secret("c0de"));
  ASSERT_TRUE(got.ok()) << got.error().message;
  EXPECT_EQ(got->access, secret("access-1"));
  EXPECT_EQ(got->name, "alice@example.org");
  const auto requests = server.requests();
  EXPECT_TRUE(requests.at(0).ends_with(
      "\r\n\r\ngrant_type=authorization_code&code=c0de&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F"
      "callback&code_verifier=" +
      std::string(authorization.verifier.view()) + "&client_id=me"))
      << requests.at(0);
  EXPECT_NE(requests.at(1).find("Authorization: Bearer access-1"), std::string::npos);
}

TEST(OAuth, AServiceLogsInWithItsSecretInTheHeader) {
  const WebServer server(
      [](const std::string&) { return http_answer(tokens({{"scope", "scistream"}}).dump()); });
  OAuth oauth;
  ASSERT_TRUE(oauth.of_client(provider_at(server), "me", secret("se&cret"), "scistream").ok());
  const std::string request = server.requests().at(0);
  EXPECT_NE(request.find("Authorization: Basic bWU6c2UlMjZjcmV0\r\n"), std::string::npos);
  EXPECT_TRUE(request.ends_with("\r\n\r\ngrant_type=client_credentials&scope=scistream"));
}

TEST(OAuth, RefreshKeepsWhatTheProviderDoesNotRepeat) {
  const WebServer server([](const std::string&) {
    return http_answer(R"({"access_token": "access-2", "token_type": "bearer"})");
  });
  Tokens old;
  old.refresh = secret("refresh-1");
  old.subject = "user-1";
  OAuth oauth;
  const auto got = oauth.refresh(provider_at(server), "me", "scistream", old);
  ASSERT_TRUE(got.ok()) << got.error().message;
  EXPECT_EQ(got->access, secret("access-2"));
  EXPECT_EQ(got->refresh, secret("refresh-1"));
  EXPECT_EQ(got->subject, "user-1");
}

/// A device flow whose time passes without waiting.
class DeviceTest : public ::testing::Test {
 protected:
  Result<Tokens> log_in(const WebServer& server) {
    OAuth asking({.ca_file = "",
                  .sleep =
                      [this](milliseconds time) {
                        slept_.push_back(std::chrono::duration_cast<seconds>(time).count());
                        now_ += time;
                      },
                  .now = [this] { return now_; }});
    const auto device = asking.device_code(provider_at(server), "me", "scistream");
    if (!device) return device.error();
    return asking.wait_for_user(provider_at(server), "me", "scistream", *device);
  }
  /// Answers one after the other, the last one for ever.
  static WebServer::Answer script(std::vector<std::string> answers) {
    return [answers = std::move(answers), next = std::make_shared<std::size_t>(0)](
               const std::string& request) -> std::optional<std::string> {
      if (request.starts_with("POST /device")) {
        return http_answer(json{{"device_code", "dev1ce"},
                                {"user_code", "ABCD-EFGH"},
                                {"verification_uri", "https://id.example/device"},
                                {"expires_in", 100},
                                {"interval", 5}}
                               .dump());
      }
      const std::size_t at = std::min((*next)++, answers.size() - 1);
      return answers[at];
    };
  }
  const std::string pending_ = refused({{"error", "authorization_pending"}});
  system_clock::time_point now_{seconds(1'000'000)};
  std::vector<long> slept_;
};

TEST_F(DeviceTest, WaitsAsLongAsItIsTold) {
  const WebServer server(script(
      {pending_, refused({{"error", "slow_down"}}), pending_, http_answer(tokens().dump())}));
  const auto got = log_in(server);
  ASSERT_TRUE(got.ok()) << got.error().message;
  EXPECT_EQ(got->access, secret("access-1"));
  EXPECT_EQ(slept_, (std::vector<long>{5, 5, 10, 10}));
}

TEST_F(DeviceTest, AProviderThatIsAwayIsAskedLessOften) {
  const WebServer server(
      script({http_answer("", "", "503 Away"), pending_, http_answer(tokens().dump())}));
  ASSERT_TRUE(log_in(server).ok());
  EXPECT_EQ(slept_, (std::vector<long>{5, 10, 10}));
}

TEST_F(DeviceTest, EndsWhenTheUserDoesNotAgree) {
  const WebServer refuses(script({refused({{"error", "access_denied"}})}));
  EXPECT_EQ(log_in(refuses).error().cause, Cause::permission_denied);
  const WebServer expires(script({refused({{"error", "expired_token"}})}));
  EXPECT_EQ(log_in(expires).error().cause, Cause::timeout);
  const WebServer forgets(script({pending_}));
  const auto got = log_in(forgets);
  EXPECT_EQ(got.error().cause, Cause::timeout);
  EXPECT_EQ(got.error().message.find("dev1ce"), std::string::npos);
}

TEST(OAuth, WhateverAProviderDoesNoErrorHoldsASecret) {
  std::vector<WebServer::Answer> bad{
      [](const std::string&) { return http_answer("{"); },
      [](const std::string&) { return http_answer(std::string(1U << 20U, 'x')); },
      [](const std::string&) { return "nonsense\r\n\r\n"; },
      [](const std::string&) { return std::nullopt; },
      [](const std::string&) {
        return refused({{"error", "c0de-of-mine"}, {"error_description", "c0de-of-mine is old"}});
      },
      [](const std::string&) {
        return http_answer(R"({"access_token": "c0de-of-mine", "scope": "other"})");
      }};
  for (std::size_t i = 0; i < bad.size(); ++i) {
    const WebServer server(bad[i]);
    OAuth oauth({.ca_file = "", .limit = milliseconds(200)});
    const auto authorization = new_authorization("me", "scistream", "http://127.0.0.1:1/callback");
    const auto got = oauth.exchange(provider_at(server), authorization, secret("c0de-of-mine"));
    ASSERT_FALSE(got.ok()) << i;
    EXPECT_EQ(got.error().message.find("c0de"), std::string::npos) << got.error().message;
    EXPECT_EQ(got.error().message.find(authorization.verifier.view()), std::string::npos);
  }
}

TEST(OAuth, RevokesOrSaysThatItCannot) {
  const WebServer server([](const std::string&) { return http_answer(""); });
  OAuth oauth;
  Provider provider = provider_at(server);
  EXPECT_TRUE(oauth.revoke(provider, "me", secret("t0ken"), OAuth::Kind::refresh).ok());
  EXPECT_TRUE(server.requests().at(0).ends_with(
      "\r\n\r\ntoken=t0ken&token_type_hint=refresh_token&client_id=me"));
  provider.revocation.reset();
  EXPECT_EQ(oauth.revoke(provider, "me", secret("t0ken"), OAuth::Kind::refresh).error().cause,
            Cause::failed_precondition);
}

class RedirectTest : public ::testing::Test {
 protected:
  RedirectTest()
      : receiver_(must(RedirectReceiver::open())),
        authorization_(new_authorization("me", "scistream", receiver_.address())) {}

  void wait(milliseconds limit = patience) {
    code_ = std::async(std::launch::async, [this, limit] {
      return receiver_.receive(authorization_, "https://id.example", limit);
    });
  }
  [[nodiscard]] Endpoint where() const { return must(net::parse_url(receiver_.address())).server; }
  /// What the browser shows.
  [[nodiscard]] std::string get(const std::string& target) const {
    const auto socket = connect_to(where());
    send_all(socket.get(), "GET " + target + " HTTP/1.1\r\nHost: here\r\n\r\n");
    return receive(socket.get()).bytes;
  }
  [[nodiscard]] std::string good() const {
    return "/callback?code=c0de&state=" + authorization_.state;
  }

  RedirectReceiver receiver_;
  const Authorization authorization_;
  std::future<Result<Secret>> code_;
};

TEST_F(RedirectTest, TheCodeOfThisLoginIsTaken) {
  wait();
  const std::string page = get(good());
  EXPECT_TRUE(page.starts_with("HTTP/1.1 200 OK\r\n")) << page;
  EXPECT_NE(page.find("You may close this window."), std::string::npos);
  EXPECT_EQ(must(code_.get()), secret("c0de"));
}

TEST_F(RedirectTest, NobodyElseEndsIt) {
  wait();
  const auto silent = connect_to(where());
  EXPECT_TRUE(get("/callback?code=evil&state=guess").starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(get(good() + "&state=twice").starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(get("/callback?code=evil").starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(get("/favicon.ico").starts_with("HTTP/1.1 404"));
  {
    const auto gone = connect_to(where());
  }
  const auto endless = connect_to(where());
  send_all(endless.get(), std::string(16'000, 'a'));
  (void)receive(endless.get());
  std::vector<net::Fd> many;
  for (int i = 0; i < 40; ++i) many.push_back(connect_to(where()));
  (void)get(good());
  EXPECT_EQ(must(code_.get()), secret("c0de"));
}

TEST_F(RedirectTest, ARefusalAndSilenceAreErrors) {
  wait();
  (void)get("/callback?error=access_denied&state=" + authorization_.state);
  EXPECT_EQ(code_.get().error().cause, Cause::permission_denied);
  wait(milliseconds(20));
  EXPECT_EQ(code_.get().error().cause, Cause::timeout);
  wait();
  (void)get(good() + "&iss=https%3A%2F%2Fother.example");
  EXPECT_EQ(code_.get().error().cause, Cause::unauthenticated);
}

}  // namespace
}  // namespace scistream::client

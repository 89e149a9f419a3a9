#include "auth/introspection.hpp"

#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>

#include "auth/introspection_answer.hpp"
#include "net/io_threads.hpp"
#include "support/web_server.hpp"

namespace scistream::auth {
namespace {

using namespace scistream::test;
using nlohmann::json;
using std::chrono::system_clock;

const std::string client = "c42c0dac-0a52-408e-a04f-5d31bfe0aef8";

IntrospectionOptions options(const net::Url& endpoint = {true, {"auth.example", 443}, "/i"}) {
  return {endpoint, "https://auth.example", client, Secret(std::string_view("secret & more")), "",
          true};
}

json answer(const json& changes = json::object()) {
  const auto now = system_clock::to_time_t(system_clock::now());
  json all{{"active", true},
           {"iss", "https://auth.example"},
           {"sub", "user-1"},
           {"aud", {"auth.example", client}},
           {"scope", "openid https://auth.example/scopes/" + client + "/scistream"},
           {"username", "alice@example.org"},
           {"exp", now + 600},
           {"nbf", now - 600}};
  all.merge_patch(changes);
  return all;
}

const Expected here{"https://auth.example", client,
                    "https://auth.example/scopes/" + client + "/scistream"};

Result<Identity> read(const json& document) {
  return identity_in_introspection(document.dump(), here, system_clock::now());
}

TEST(IntrospectionAnswer, TellsWhoItIs) {
  const auto who = read(answer());
  ASSERT_TRUE(who.ok()) << who.error().message;
  EXPECT_EQ(who->issuer, "https://auth.example");
  EXPECT_EQ(who->subject, "user-1");
  EXPECT_EQ(who->name, "alice@example.org");
  // A server that does not say who it is, is the one that was asked.
  EXPECT_EQ(read(answer({{"iss", nullptr}}))->issuer, "https://auth.example");
}

TEST(IntrospectionAnswer, ATokenThatIsNotGoodHereIsRefused) {
  EXPECT_EQ(read({{"active", false}}).error().cause, Cause::unauthenticated);
  for (const json& change :
       {json{{"aud", "another"}}, json{{"exp", 1'000}}, json{{"sub", nullptr}},
        json{{"exp", nullptr}}, json{{"nbf", 4e9}}, json{{"iss", "https://other.example"}}})
    EXPECT_EQ(read(answer(change)).error().cause, Cause::unauthenticated) << change;
  for (const std::string& scope : {std::string(), std::string("openid"),
                                   std::string("https://auth.example/scopes/another/scistream"),
                                   "https://evil.example/scopes/" + client + "/scistream"}) {
    const auto who = read(answer({{"scope", scope}}));
    EXPECT_EQ(who.error().cause, Cause::permission_denied) << scope;
    EXPECT_NE(who.error().message.find("/scopes/" + client + "/scistream"), std::string::npos);
  }
}

TEST(IntrospectionAnswer, WhatIsNoneIsTheProvidersFaultAndNeverAllowed) {
  for (const json& document : {json::array(), json::object(), json{{"active", "true"}},
                               json{{"active", 1}}, json{{"error", "x"}}, json("active")})
    EXPECT_EQ(read(document).error().cause, Cause::unavailable) << document;
  EXPECT_EQ(identity_in_introspection("<html>", here, system_clock::now()).error().cause,
            Cause::unavailable);
}

class IntrospectionTest : public ::testing::Test {
 protected:
  Result<Identity> identify(const WebServer& server, const std::string& token = "to&ken") {
    Introspection introspection(must(net::HttpClient::make(threads_.next(), {})),
                                options(server.url("/introspect")));
    std::promise<Result<Identity>> promise;
    introspection.identify(Secret(std::string_view(token)),
                           [&](auto who) { promise.set_value(std::move(who)); });
    return promise.get_future().get();
  }
  net::IoThreads threads_{1};
};

TEST_F(IntrospectionTest, AsksAsTheStandardSays) {
  const WebServer server([](const std::string&) { return http_answer(answer().dump()); });
  EXPECT_EQ(must(identify(server)).subject, "user-1");
  const std::string request = server.requests().at(0);
  EXPECT_TRUE(request.starts_with("POST /introspect HTTP/1.1\r\n"));
  // c42c…:secret%20%26%20more
  EXPECT_NE(
      request.find("\r\nAuthorization: Basic "
                   "YzQyYzBkYWMtMGE1Mi00MDhlLWEwNGYtNWQzMWJmZTBhZWY4OnNlY3JldCUyMCUyNiUyMG1vcmU="
                   "\r\n"),
      std::string::npos)
      << request;
  EXPECT_TRUE(request.ends_with(
      "\r\n\r\ntoken=to%26ken&token_type_hint=access_token&include=identity_set"));
}

TEST_F(IntrospectionTest, AProviderThatDoesNotAnswerIsUnavailable) {
  for (const char* status : {"500 Internal Server Error", "401 Unauthorized", "302 Found"}) {
    const WebServer server(
        [status](const std::string&) { return http_answer(answer().dump(), "", status); });
    EXPECT_EQ(identify(server).error().cause, Cause::unavailable) << status;
  }
  const auto begin = std::chrono::steady_clock::now();
  const WebServer silent([](const std::string&) { return std::nullopt; });
  EXPECT_EQ(identify(silent).error().cause, Cause::unavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - begin,
            std::chrono::seconds(10));  // of a loaded machine; the limit is 2
}

TEST_F(IntrospectionTest, NoErrorRepeatsAToken) {
  const WebServer server([](const std::string&) { return http_answer("", "", "500 No"); });
  const auto who = identify(server, "very-secret-token");
  EXPECT_EQ(who.error().message.find("very-secret-token"), std::string::npos);
  EXPECT_EQ(who.error().message.find("secret & more"), std::string::npos);
  EXPECT_EQ(identify(server, std::string(20'000, 'a')).error().cause, Cause::unauthenticated);
}

}  // namespace
}  // namespace scistream::auth

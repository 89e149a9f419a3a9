#include "auth/identified_only.hpp"

#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <nlohmann/json.hpp>

#include "support/web_server.hpp"

namespace scistream::auth {
namespace {

using nlohmann::json;
using namespace scistream::test;
using std::chrono::system_clock;

/// A provider that knows `good-NAME`.
class IdentifiedOnlyTest : public ::testing::Test {
 protected:
  IdentifiedOnlyTest() : server_([this](const std::string& request) { return answer(request); }) {}

  std::unique_ptr<IdentifiedOnly> make(Policy policy = Policy::for_all()) {
    IdentityOptions options;
    options.introspection = IntrospectionOptions{server_.url("/introspect"), "https://issuer", "me",
                                                 Secret(std::string_view("secret")), "stream"};
    options.failures = {2, 0.001};
    options.requests = {5, 0.001};
    return must(IdentifiedOnly::make(std::move(options), std::move(policy), null_logger()));
  }

  std::optional<std::string> answer(const std::string& request) {
    if (is_silent_) return std::nullopt;
    const auto at = request.find("token=good-");
    if (at == std::string::npos) return http_answer(json{{"active", false}}.dump());
    const auto begin = at + std::string("token=good-").size();
    const std::string name = request.substr(begin, request.find('&', begin) - begin);
    const auto now = system_clock::to_time_t(system_clock::now());
    return http_answer(json{{"active", true},
                            {"iss", "https://issuer"},
                            {"aud", "me"},
                            {"sub", name},
                            {"scope", "stream"},
                            {"exp", now + 60}}
                           .dump());
  }

  static Caller with(const std::string& token, const std::string& host = "192.0.2.1") {
    return {host, false, Secret(std::string_view(token))};
  }
  static Result<Permit> ask(IdentifiedOnly& authorizer, const Caller& caller,
                            bool has_other_proof = false) {
    std::promise<Result<Permit>> promise;
    authorizer.admit(caller, {"req", has_other_proof},
                     [&](Result<Permit> permit) { promise.set_value(std::move(permit)); });
    return promise.get_future().get();
  }
  static std::string cause(const Result<Permit>& permit) {
    const Status allowed = permit ? permit->allowed : Status(permit.error());
    return allowed ? "ok" : std::string(to_string(allowed.error().cause));
  }

  std::atomic<bool> is_silent_{false};
  WebServer server_;
};

// Protocol: token-introspected
TEST_F(IdentifiedOnlyTest, AGoodTokenIsSomebody) {
  const auto authorizer = make();
  const auto permit = must(ask(*authorizer, with("good-alice")));
  ASSERT_TRUE(permit.who);
  EXPECT_EQ(permit.who->subject, "alice");
  EXPECT_EQ(permit.principal.id, "https://issuer\nalice");
  EXPECT_EQ(permit.principal.most_sessions, 100U);
  EXPECT_FALSE(permit.principal.sees || permit.principal.administers);
  EXPECT_EQ(authorizer->login_hint().scope, "stream");
  EXPECT_EQ(authorizer->login_hint().issuer, "https://issuer");
}

// Protocol: token-missing
TEST_F(IdentifiedOnlyTest, WithoutATokenNobodyGetsInFromThisMachineEither) {
  const auto authorizer = make();
  EXPECT_EQ(cause(ask(*authorizer, {"127.0.0.1", true})), "unauthenticated");
  EXPECT_EQ(cause(ask(*authorizer, with("bad"))), "unauthenticated");
}

// Protocol: hello-by-key
TEST_F(IdentifiedOnlyTest, WithAnotherProofSomebodyUnknownIsNobody) {
  const auto authorizer = make();
  for (const Caller& caller : {with(""), with("expired")}) {
    const auto permit = must(ask(*authorizer, caller, true));
    EXPECT_FALSE(permit.who);
    EXPECT_TRUE(permit.principal.id.empty());
    EXPECT_FALSE(permit.principal.sees || permit.principal.administers);
  }
}

// Protocol: provider-down
TEST_F(IdentifiedOnlyTest, AProviderThatIsSilentLetsNobodyIn) {
  const auto authorizer = make();
  is_silent_ = true;
  EXPECT_EQ(cause(ask(*authorizer, with("good-alice"))), "unavailable");
  const auto nobody = must(ask(*authorizer, with("good-alice"), true));
  EXPECT_FALSE(nobody.who) << "and another proof decides";
}

// Protocol: failed-logins
TEST_F(IdentifiedOnlyTest, WhoGuessesIsNotAskedAboutAnyMoreAndOthersAre) {
  const auto authorizer = make();
  must(ask(*authorizer, with("good-alice")));
  for (const char* guess : {"a", "b"})
    EXPECT_EQ(cause(ask(*authorizer, with(guess))), "unauthenticated");
  const auto asked = server_.requests().size();
  EXPECT_EQ(cause(ask(*authorizer, with("c"))), "exhausted");
  EXPECT_EQ(cause(ask(*authorizer, with("good-bob"))), "exhausted") << "nobody knows that";
  EXPECT_EQ(server_.requests().size(), asked);
  EXPECT_EQ(cause(ask(*authorizer, with("good-alice"))), "ok") << "who was known before";
  EXPECT_EQ(cause(ask(*authorizer, with("good-bob", "192.0.2.2"))), "ok");
}

// Protocol: requests-a-user
TEST_F(IdentifiedOnlyTest, OneUserHasSoManyRequests) {
  const auto authorizer = make();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(cause(ask(*authorizer, with("good-alice"))), "ok");
  EXPECT_EQ(cause(ask(*authorizer, with("good-alice"))), "exhausted");
  EXPECT_EQ(cause(ask(*authorizer, with("good-bob"))), "ok");
}

// Protocol: policy-reload
TEST_F(IdentifiedOnlyTest, ANewPolicyHoldsFromTheNextCallOn) {
  const auto authorizer = make();
  must(ask(*authorizer, with("good-alice")));
  authorizer->replace(must(Policy::parse(
      "[[rule]]\nissuer = \"https://issuer\"\nidentity = \"bob\"\nmax_sessions = 1\n")));
  EXPECT_EQ(cause(ask(*authorizer, with("good-alice"))), "permission_denied");
  EXPECT_EQ(must(ask(*authorizer, with("good-bob"))).principal.most_sessions, 1U);
}

// Protocol: client-certificates
TEST_F(IdentifiedOnlyTest, ACertificateIsSomebody) {
  const auto authorizer = must(IdentifiedOnly::make({}, Policy::for_all(), null_logger()));
  Caller caller{"192.0.2.1", false, {}, {"URI:spiffe://site/instrument", "DNS:i.example.org"}};
  const auto permit = must(ask(*authorizer, caller));
  EXPECT_EQ(permit.who->issuer, "certificate");
  EXPECT_EQ(permit.who->subject, "URI:spiffe://site/instrument");
  EXPECT_EQ(cause(ask(*authorizer, with("good-alice"))), "unauthenticated");
}

TEST_F(IdentifiedOnlyTest, CallsUnderWayAreAnsweredWhenItGoes) {
  auto authorizer = make();
  is_silent_ = true;
  std::promise<std::string> promise;
  authorizer->admit(with("good-alice"), {"req"},
                    [&](const Result<Permit>& permit) { promise.set_value(cause(permit)); });
  ASSERT_TRUE(eventually([&] { return !server_.requests().empty(); }));
  authorizer.reset();
  EXPECT_EQ(promise.get_future().get(), "unavailable");
}

}  // namespace
}  // namespace scistream::auth

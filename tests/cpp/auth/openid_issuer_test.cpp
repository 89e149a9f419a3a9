#include "auth/openid_issuer.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <future>

#include "auth/signing.hpp"
#include "net/io_threads.hpp"
#include "support/web_server.hpp"

namespace scistream::auth {
namespace {

using namespace scistream::test;
using auth::test::Signer;
using nlohmann::json;
using namespace std::chrono_literals;
using std::chrono::system_clock;

/// Stands still until a test moves it.
class HandClock final : public Clock {
 public:
  [[nodiscard]] time_point now() const override { return time_point(time_.load()); }
  void pass(duration time) { time_ = time_.load() + time; }

 private:
  std::atomic<duration> time_{1h};
};

constexpr long noon = 1'800'000'000;

class OpenIdIssuerTest : public ::testing::Test {
 protected:
  OpenIdIssuerTest()
      : server_([this](const std::string& request) { return answer(request); }),
        name_(net::server_of(server_.url())),
        issuer_(make(10s)) {}

  std::unique_ptr<OpenIdIssuer> make(std::chrono::milliseconds limit) {
    return must(OpenIdIssuer::make(must(net::HttpClient::make(context_, {"", limit})),
                                   {name_, "scistream", "", true}, clock_,
                                   [] { return system_clock::from_time_t(noon); }));
  }

  std::optional<std::string> answer(const std::string& request) {
    const std::lock_guard lock(mutex_);
    if (is_silent_) return std::nullopt;
    if (request.starts_with("GET /.well-known/openid-configuration "))
      return http_answer(json{{"issuer", claims_to_be_.empty() ? name_ : claims_to_be_},
                              {"jwks_uri", name_ + "/k"}}
                             .dump());
    if (!request.starts_with("GET /k ")) return http_answer("", "", "404 Not Found");
    return http_answer(json{{"keys", keys_}}.dump(), "Cache-Control: max-age=3600\r\n", status_);
  }
  template <class T, class V>
  void set(T& what, V&& value) {
    const std::lock_guard lock(mutex_);
    what = std::forward<V>(value);
  }
  void publish(const json& keys) {
    const std::lock_guard lock(mutex_);
    keys_ = keys;
  }
  [[nodiscard]] std::string token(const Signer& signer, const std::string& id) const {
    return signer.token(
        {{"alg", "ES256"}, {"kid", id}},
        {{"iss", name_}, {"sub", "user-1"}, {"aud", "scistream"}, {"exp", noon + 60}});
  }
  Result<Identity> identify(const std::string& what) {
    std::promise<Result<Identity>> promise;
    boost::asio::post(context_, [&] {
      issuer_->identify(Secret(std::string_view(what)),
                        [&](auto who) { promise.set_value(std::move(who)); });
    });
    return promise.get_future().get();
  }

  std::mutex mutex_;
  json keys_ = json::array();
  std::string claims_to_be_;
  std::string status_ = "200 OK";
  bool is_silent_ = false;
  const Signer first_ = Signer::p256();
  const Signer second_ = Signer::p256();
  HandClock clock_;
  WebServer server_;
  const std::string name_;
  net::IoThreads threads_{1};
  boost::asio::io_context& context_ = threads_.next();
  std::unique_ptr<OpenIdIssuer> issuer_;
};

TEST_F(OpenIdIssuerTest, KeysAreAskedForOnce) {
  publish(json::array({first_.published("1")}));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(must(identify(token(first_, "1"))).subject, "user-1");
  EXPECT_EQ(server_.requests().size(), 2U);  // what it is, and its keys
  EXPECT_EQ(identify(token(second_, "1")).error().cause, Cause::unauthenticated);
  EXPECT_EQ(server_.requests().size(), 2U);
}

TEST_F(OpenIdIssuerTest, NewKeysAreFoundAndAFloodOfUnknownOnesAsksNoMore) {
  publish(json::array({first_.published("1")}));
  EXPECT_TRUE(identify(token(first_, "1")).ok());
  publish(json::array({first_.published("1"), second_.published("2")}));
  clock_.pass(31s);
  EXPECT_TRUE(identify(token(second_, "2")).ok());
  EXPECT_EQ(server_.requests().size(), 4U);
  for (int i = 0; i < 100; ++i) {
    const auto who = identify(token(second_, "made up " + std::to_string(i)));
    EXPECT_EQ(who.error().cause, Cause::unauthenticated);
  }
  EXPECT_EQ(server_.requests().size(), 4U);
}

TEST_F(OpenIdIssuerTest, KeysThatAreTakenBackAreNoneOnceTheyAreOld) {
  publish(json::array({first_.published("1")}));
  EXPECT_TRUE(identify(token(first_, "1")).ok());
  publish(json::array({second_.published("2")}));
  clock_.pass(59min);
  EXPECT_TRUE(identify(token(first_, "1")).ok());
  clock_.pass(2min);
  EXPECT_EQ(identify(token(first_, "1")).error().cause, Cause::unauthenticated);
}

TEST_F(OpenIdIssuerTest, OneThatDoesNotAnswerAllowsNobodyWhoIsNotKnown) {
  set(is_silent_, true);
  issuer_ = make(100ms);
  EXPECT_EQ(identify(token(first_, "1")).error().cause, Cause::unavailable);
  // Not asked again at once.
  const auto asked = server_.requests().size();
  EXPECT_EQ(identify(token(first_, "1")).error().cause, Cause::unavailable);
  EXPECT_EQ(server_.requests().size(), asked);
}

TEST_F(OpenIdIssuerTest, OneThatHasAnsweredIsTrustedWhileItIsAway) {
  publish(json::array({first_.published("1")}));
  EXPECT_TRUE(identify(token(first_, "1")).ok());
  set(status_, "503 Away");
  clock_.pass(90min);
  EXPECT_TRUE(identify(token(first_, "1")).ok());
  // A key that nobody could ask about.
  EXPECT_EQ(identify(token(second_, "2")).error().cause, Cause::unavailable);
  clock_.pass(10s);
  EXPECT_EQ(identify(token(second_, "2")).error().cause, Cause::unavailable);
  clock_.pass(1h);
  EXPECT_EQ(identify(token(first_, "1")).error().cause, Cause::unavailable);
}

TEST_F(OpenIdIssuerTest, OldKeysAreNotUsedWhileNewOnesAreOnTheirWay) {
  publish(json::array({first_.published("1")}));
  EXPECT_TRUE(identify(token(first_, "1")).ok());
  publish(json::array({second_.published("2")}));
  clock_.pass(61min);
  std::promise<Result<Identity>> first;
  std::promise<Result<Identity>> second;
  // Both before the issuer can have answered.
  boost::asio::post(context_, [&] {
    issuer_->identify(Secret(std::string_view(token(first_, "1"))),
                      [&](auto who) { first.set_value(std::move(who)); });
    issuer_->identify(Secret(std::string_view(token(first_, "1"))),
                      [&](auto who) { second.set_value(std::move(who)); });
  });
  EXPECT_EQ(first.get_future().get().error().cause, Cause::unauthenticated);
  EXPECT_EQ(second.get_future().get().error().cause, Cause::unauthenticated);
}

TEST_F(OpenIdIssuerTest, WhoWaitsIsToldWhenItEnds) {
  set(is_silent_, true);
  std::promise<Result<Identity>> promise;
  boost::asio::post(context_, [&] {
    issuer_->identify(Secret(std::string_view(token(first_, "1"))),
                      [&](auto who) { promise.set_value(std::move(who)); });
    issuer_.reset();
  });
  EXPECT_EQ(promise.get_future().get().error().cause, Cause::unavailable);
}

TEST_F(OpenIdIssuerTest, OneThatCallsItselfSomethingElseIsNotBelieved) {
  publish(json::array({first_.published("1")}));
  set(claims_to_be_, "https://accounts.example");
  EXPECT_EQ(identify(token(first_, "1")).error().cause, Cause::unavailable);
}

TEST_F(OpenIdIssuerTest, AnIssuerThatIsNoAddressIsRefused) {
  const auto made = OpenIdIssuer::make(must(net::HttpClient::make(context_, {})),
                                       {"accounts.example", "scistream"}, clock_);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().cause, Cause::invalid_argument);
}

}  // namespace
}  // namespace scistream::auth

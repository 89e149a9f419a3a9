#include "auth/token_cache.hpp"

#include <gtest/gtest.h>

#include "support/manual_scheduler.hpp"

namespace scistream::auth {
namespace {

using namespace std::chrono_literals;
using std::chrono::system_clock;

/// Answers when a test says so.
struct Source final : Authenticator {
  void identify(const Secret& token, Done done) override {
    asked.emplace_back(token.view());
    waiting.push_back(std::move(done));
  }
  void answer(const Result<Identity>& who) {
    for (const Done& each : std::exchange(waiting, {})) each(who);
  }
  std::vector<std::string> asked;
  std::vector<Done> waiting;
};

class TokenCacheTest : public ::testing::Test {
 protected:
  TokenCacheTest() {
    auto source = std::make_unique<Source>();
    source_ = source.get();
    cache_ = std::make_unique<TokenCache>(std::move(source), clock_, [this] { return time_; });
  }
  void ask(const std::string& token = "token") {
    cache_->identify(Secret(std::string_view(token)),
                     [this](Result<Identity> who) { told_.push_back(std::move(who)); });
  }
  Identity alice(std::chrono::seconds lasts = 1h) {
    return {"issuer", "alice", "", "", {}, {}, {}, time_ + lasts};
  }
  void pass(std::chrono::seconds time) {
    clock_.advance(time);
    time_ += time;
  }

  ManualScheduler clock_;
  system_clock::time_point time_ = system_clock::from_time_t(1'800'000'000);
  std::vector<Result<Identity>> told_;
  Source* source_ = nullptr;
  std::unique_ptr<TokenCache> cache_;
};

TEST_F(TokenCacheTest, AsksOnceForAllWhoWait) {
  for (int i = 0; i < 100; ++i) ask();
  EXPECT_EQ(source_->asked.size(), 1U);
  source_->answer(alice());
  ASSERT_EQ(told_.size(), 100U);
  for (const auto& each : told_) EXPECT_EQ(each.value().subject, "alice");
  ask();
  EXPECT_EQ(told_.size(), 101U);
  EXPECT_EQ(source_->asked.size(), 1U);
}

TEST_F(TokenCacheTest, AsksAgainAfterHalfAMinute) {
  ask();
  source_->answer(alice());
  pass(29s);
  ask();
  EXPECT_EQ(source_->asked.size(), 1U);
  pass(1s);
  ask();
  EXPECT_EQ(source_->asked.size(), 2U);
  // Meanwhile it has been revoked.
  source_->answer(Error{Cause::unauthenticated, "no"});
  EXPECT_FALSE(told_.back().ok());
}

TEST_F(TokenCacheTest, AnExpiredTokenIsNotRemembered) {
  ask();
  source_->answer(alice(10s));
  pass(9s);
  ask();
  EXPECT_EQ(source_->asked.size(), 1U);
  pass(1s);
  ask();
  EXPECT_EQ(source_->asked.size(), 2U);
}

TEST_F(TokenCacheTest, ABadTokenIsRememberedForAMomentAndASilentProviderNotAtAll) {
  ask();
  source_->answer(Error{Cause::unauthenticated, "no"});
  ask();
  EXPECT_EQ(source_->asked.size(), 1U);
  pass(5s);
  ask();
  EXPECT_EQ(source_->asked.size(), 2U);
  source_->answer(Error{Cause::unavailable, "down"});
  EXPECT_EQ(told_.back().error().cause, Cause::unavailable);
  ask();
  EXPECT_EQ(source_->asked.size(), 3U);
}

TEST_F(TokenCacheTest, TokensAreToldApart) {
  ask("one");
  ask("two");
  EXPECT_EQ(source_->asked, (std::vector<std::string>{"one", "two"}));
}

TEST_F(TokenCacheTest, AFloodOfBadTokensMakesRoomForItselfAndDropsNoGoodOne) {
  ask("good");
  source_->answer(alice());
  for (std::size_t i = 0; i <= TokenCache::most; ++i) {
    ask(std::to_string(i));
    source_->answer(Error{Cause::unauthenticated, "no"});
  }
  const std::size_t asked = TokenCache::most + 2;
  EXPECT_EQ(source_->asked.size(), asked);
  ask(std::to_string(TokenCache::most));  // the newest is known
  ask("good");
  EXPECT_EQ(source_->asked.size(), asked);
  ask("0");  // the oldest is not
  EXPECT_EQ(source_->asked.size(), asked + 1);
}

TEST_F(TokenCacheTest, OnlySoManyAreAskedForAtATime) {
  for (std::size_t i = 0; i < TokenCache::most_waiting; ++i) ask(std::to_string(i));
  EXPECT_TRUE(told_.empty());
  ask("one more");
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_EQ(told_.back().error().cause, Cause::exhausted);
  ask("0");  // waits with who came before
  EXPECT_EQ(told_.size(), 1U);
  EXPECT_EQ(source_->asked.size(), TokenCache::most_waiting);
  source_->answer(alice());
  EXPECT_EQ(told_.size(), 1 + TokenCache::most_waiting + 1);
  ask("one more");
  EXPECT_EQ(source_->asked.back(), "one more");
}

TEST_F(TokenCacheTest, AfterItsEndNobodyWaits) {
  ask();
  cache_->end();
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_EQ(told_.front().error().cause, Cause::unavailable);
  source_->answer(alice());  // too late
  ask();
  ASSERT_EQ(told_.size(), 2U);
  EXPECT_EQ(told_.back().error().cause, Cause::unavailable);
  EXPECT_EQ(source_->asked.size(), 1U);
}

TEST_F(TokenCacheTest, WhoIsToldMayAskAgainOrEndIt) {
  cache_->identify(Secret(std::string_view("token")), [this](const Result<Identity>&) { ask(); });
  source_->answer(Error{Cause::unavailable, "down"});
  EXPECT_EQ(source_->asked.size(), 2U);
  auto waiting = std::exchange(source_->waiting, {});
  cache_.reset();
  ASSERT_EQ(told_.size(), 1U);  // nobody is left without an answer
  EXPECT_EQ(told_.front().error().cause, Cause::unavailable);
  waiting.front()(alice());  // too late
  EXPECT_EQ(told_.size(), 1U);
}

}  // namespace
}  // namespace scistream::auth

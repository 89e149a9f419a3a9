#include "proxy/supervisor.hpp"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <boost/asio/post.hpp>
#include <csignal>
#include <sstream>

#include "base/file.hpp"
#include "net/process.hpp"
#include "net/signals.hpp"
#include "net/sockets.hpp"
#include "support/temporary_directory.hpp"

namespace scistream::proxy {
namespace {

using namespace std::chrono_literals;
using namespace test;
using std::chrono::steady_clock;

/// What a shell does instead of a proxy.
struct Script {
  std::string first = "echo up; exec sleep 1000";
  std::string later = "exit 3";
  int runs = 0;
};

class Scripted final : public Steering {
 public:
  Scripted(boost::asio::io_context& context, Script& script) : context_(context), script_(script) {}

  Result<net::ChildPlan> prepare(const Work& work) override {
    net::ChildPlan plan;
    plan.arguments = {"/bin/sh", "-c", script_.runs++ == 0 ? script_.first : script_.later};
    plan.environment = {"PATH=/usr/bin:/bin"};
    plan.folder = work.folder;
    return plan;
  }
  bool take(std::string_view line) override { return line == "loud"; }
  void wait_ready(const std::shared_ptr<net::Child>& /*child*/, std::chrono::seconds /*limit*/,
                  dataserver::Callback<void> done) override {
    // Later ones never come so far.
    if (script_.runs == 1) boost::asio::post(context_, [done = std::move(done)] { done({}); });
  }
  void retarget(const Work& /*work*/, const std::shared_ptr<net::Child>& /*child*/,
                dataserver::Callback<void> done) override {
    done({});
  }
  void read(dataserver::Callback<Reading> done) override { done(Reading{}); }
  void drain(const Work& /*work*/, const std::shared_ptr<net::Child>& /*child*/,
             const std::vector<int>& /*listeners*/, std::function<void()> /*idle*/) override {}

 private:
  boost::asio::io_context& context_;
  Script& script_;
};

class SupervisorTest : public ::testing::Test {
 protected:
  void start() {
    program_.kind = "Scripted";
    program_.steer = [this](const Site&) { return std::make_shared<Scripted>(context_, script_); };
    auto sink = std::make_shared<spdlog::sinks::ostream_sink_st>(said_);
    auto log = std::make_shared<spdlog::logger>("test", std::move(sink));
    log->set_level(spdlog::level::debug);
    Work work;
    work.folder = folder_.path() / "work";
    supervisor_ = Supervisor::make(
        {context_, std::make_shared<SocketTable>()}, program_, work, {}, "uid-1 PROD", log,
        [this](const std::string& news) {
          news_.push_back(news);
          times_.push_back(steady_clock::now());
        },
        false);
    bool serves = false;
    supervisor_->start([&](const Status& status) { serves = status.ok(); });
    ASSERT_TRUE(eventually([&] { return serves; }));
  }
  /// Lets things happen until it is so.
  bool eventually(const std::function<bool()>& condition) {
    const auto end = steady_clock::now() + patience;
    while (!condition() && steady_clock::now() < end) context_.run_one_for(50ms);
    return condition();
  }
  pid_t pid() { return std::stoi(must(read_file(folder_.path() / "work/identity"))); }

  TemporaryDirectory folder_;
  boost::asio::io_context context_;
  Program program_;
  Script script_;
  std::ostringstream said_;
  std::vector<std::string> news_;
  std::vector<steady_clock::time_point> times_;
  std::shared_ptr<Supervisor> supervisor_;
};

TEST_F(SupervisorTest, WhatAProgramSaysIsLoggedWithItsSession) {
  script_.first = "echo quiet; echo loud >&2; exec sleep 1000";
  start();
  EXPECT_TRUE(eventually([&] { return said_.str().find("loud") != std::string::npos; }));
  EXPECT_NE(said_.str().find("[debug] session uid-1 PROD: quiet"), std::string::npos);
  EXPECT_NE(said_.str().find("[warning] session uid-1 PROD: loud"), std::string::npos);
}

TEST_F(SupervisorTest, OneThatKeepsDyingIsStartedAfterEverLongerPauses) {
  start();
  send_signal(pid(), SIGKILL);
  ASSERT_TRUE(eventually([&] { return news_.size() == 4; }));
  EXPECT_EQ(news_[0], "Scripted was ended by signal 9");
  for (std::size_t i = 1; i < news_.size(); ++i) {
    EXPECT_EQ(news_[i], "Scripted ended with 3");
    EXPECT_GE(times_[i] - times_[i - 1], 100ms * (1 << (i - 1))) << i;
  }
}

TEST_F(SupervisorTest, WhyItDiedIsWhatItSaidLast) {
  script_.later = "echo loud; exit 3";
  start();
  send_signal(pid(), SIGKILL);
  ASSERT_TRUE(eventually([&] { return news_.size() == 2; }));
  EXPECT_EQ(news_[1], "Scripted ended with 3: loud");
}

TEST_F(SupervisorTest, AStopAmidAPauseStartsNothingMore) {
  start();
  send_signal(pid(), SIGKILL);
  ASSERT_TRUE(eventually([&] { return news_.size() == 2; }));
  bool gone = false;
  supervisor_->stop(dataserver::Ending::cut, [&] { gone = true; });
  EXPECT_TRUE(eventually([&] { return gone; }));
  const int runs = script_.runs;
  context_.run_for(500ms);
  EXPECT_EQ(script_.runs, runs);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "work"));
}

TEST_F(SupervisorTest, ADrainOfWhatTellsOfNoConnectionEndsIt) {
  script_.first = "trap '' TERM; while :; do sleep 1; done";  // and it does not listen
  program_.end_limit = std::chrono::seconds(1);
  start();
  const auto identity = must(read_file(folder_.path() / "work/identity"));
  bool gone = false;
  supervisor_->stop(dataserver::Ending::drain, [&] { gone = true; });
  EXPECT_TRUE(eventually([&] { return gone; }));
  EXPECT_FALSE(net::identified_process(identity));
}

}  // namespace
}  // namespace scistream::proxy

#include "net/child.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <boost/asio/post.hpp>
#include <csignal>
#include <fstream>
#include <future>
#include <mutex>
#include <vector>

#include "net/io_threads.hpp"
#include "net/sockets.hpp"

namespace scistream::net {
namespace {

using namespace test;

/// A shell that runs a script beside this test, on a thread of its own.
class ChildTest : public ::testing::Test {
 protected:
  Status start(const std::string& script, ChildPlan plan = {}) {
    plan.arguments = {"/bin/sh", "-c", script, "child"};
    return start(plan);
  }
  Status start(const ChildPlan& plan) {
    std::promise<Status> started;
    boost::asio::post(threads_.at(0), [&] {
      auto child = Child::start(
          threads_.at(0), plan,
          [this](std::string_view line) {
            const std::lock_guard lock(mutex_);
            lines_.emplace_back(line);
          },
          [this](int status) { ended_.set_value(status); });
      if (child) child_ = *child;
      started.set_value(child ? Status() : Status(child.error()));
    });
    return started.get_future().get();
  }
  int end() {
    auto future = ended_.get_future();
    EXPECT_EQ(future.wait_for(patience), std::future_status::ready);
    return future.get();
  }
  std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }
  void with_child(const std::function<void(Child&)>& work) {
    std::promise<void> done;
    boost::asio::post(threads_.at(0), [&] {
      work(*child_);
      done.set_value();
    });
    done.get_future().wait();
  }
  /// The number that the script prints.
  pid_t printed_pid() {
    EXPECT_TRUE(eventually([this] { return !lines().empty(); }));
    return std::stoi(lines().at(0));
  }
  static bool runs(pid_t pid) { return !process_identity(pid).empty(); }

  std::mutex mutex_;
  std::vector<std::string> lines_;
  std::promise<int> ended_;
  IoThreads threads_{1, "child-test"};
  std::shared_ptr<Child> child_;  // goes before the context that it lives on
};

TEST_F(ChildTest, TellsWhatItSaysAndHowItEnds) {
  must(start("echo one; echo two >&2; printf three; exit 7"));
  const int status = end();
  EXPECT_EQ(how_it_ended(status), "ended with 7");
  EXPECT_EQ(lines(), (std::vector<std::string>{"one", "two", "three"}));
}

TEST_F(ChildTest, TellsAllOfMuch) {
  must(start("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"));
  EXPECT_EQ(end(), 0);
  const auto said = lines();
  ASSERT_EQ(said.size(), 20'000U);
  EXPECT_EQ(said.back(), "line 19999");
}

TEST_F(ChildTest, HasOnlyWhatItIsGiven) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const Fd read_end(ends[0]);
  const Fd write_end(ends[1]);
  const Fd inherited(::dup(ends[1]));  // one that somebody forgot to close at exec
  ChildPlan plan;
  plan.environment = {"GREETING=hello"};
  plan.pid_variable = "OWN_PID";
  plan.folder = "/usr";
  plan.descriptors = {write_end.get(), write_end.get()};
  must(
      start("echo $GREETING $HOME $PWD; [ $OWN_PID = $$ ] && echo itself; "
            "echo into3 >&3; echo into4 >&4; ls /proc/$$/fd | tr '\\n' ' '; "
            "grep SigIgn /proc/$$/status",
            plan));
  EXPECT_EQ(end(), 0);
  const auto said = lines();
  ASSERT_EQ(said.size(), 3U);
  EXPECT_EQ(said[0], "hello /usr");
  EXPECT_EQ(said[1], "itself");
  EXPECT_EQ(said[2].substr(0, 10), "0 1 2 3 4 ");
  EXPECT_NE(said[2].find("SigIgn:\t0000000000000000"), std::string::npos) << said[2];
  std::array<char, 12> got{};
  EXPECT_EQ(::read(read_end.get(), got.data(), got.size()), 12);
  EXPECT_EQ(std::string(got.data(), got.size()), "into3\ninto4\n");
}

TEST_F(ChildTest, WhatItStartedEndsWithIt) {
  must(start("sleep 1000 & echo $!; exit 0"));
  const pid_t grandchild = printed_pid();
  EXPECT_EQ(end(), 0);
  EXPECT_TRUE(eventually([&] { return !runs(grandchild); }));
}

TEST_F(ChildTest, KillEndsAllOfIt) {
  must(start("trap '' TERM; sleep 1000 & echo $!; while :; do wait; done"));
  const pid_t grandchild = printed_pid();
  with_child([](Child& child) { child.kill(); });
  EXPECT_EQ(how_it_ended(end()), "was ended by signal 9");
  EXPECT_TRUE(eventually([&] { return !runs(grandchild); }));
}

TEST_F(ChildTest, ItDiesWithTheThreadThatStartedIt) {
  must(start("echo $$; exec sleep 1000"));
  const pid_t pid = printed_pid();
  EXPECT_TRUE(runs(pid));
  threads_.stop();
  EXPECT_TRUE(eventually([&] { return !runs(pid); }));
}

TEST_F(ChildTest, NamesAProgramThatCannotBeStarted) {
  ChildPlan plan;
  plan.arguments = {"/nowhere/at/all"};
  const Status missing = start(plan);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().cause, Cause::not_found);
  EXPECT_NE(missing.error().message.find("/nowhere/at/all"), std::string::npos);
  plan.arguments = {"/etc/passwd"};
  EXPECT_EQ(start(plan).error().cause, Cause::permission_denied);
  const auto before = open_descriptors("");
  EXPECT_FALSE(start(plan).ok());
  EXPECT_EQ(open_descriptors(""), before);
}

}  // namespace
}  // namespace scistream::net

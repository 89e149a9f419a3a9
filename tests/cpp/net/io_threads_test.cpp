#include "net/io_threads.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <future>
#include <memory>
#include <set>
#include <thread>

#include "net/sockets.hpp"

namespace scistream::net {
namespace {

template <class F>
auto run_on(boost::asio::io_context& context, F work) {
  std::packaged_task<decltype(work())()> task(std::move(work));
  auto result = task.get_future();
  boost::asio::post(context, [&task] { task(); });
  return result.get();
}

TEST(IoThreads, GivesEachContextItsOwnThreadInTurn) {
  IoThreads threads(3);
  ASSERT_EQ(threads.size(), 3U);
  std::set<std::thread::id> seen;
  for (int i = 0; i < 6; ++i) {
    seen.insert(run_on(threads.next(), [] { return std::this_thread::get_id(); }));
  }
  EXPECT_EQ(seen.size(), 3U);
}

TEST(IoThreads, HasAtLeastOne) { EXPECT_EQ(IoThreads(0).size(), 1U); }

TEST(IoThreads, BlocksSignals) {
  IoThreads threads(1);
  EXPECT_TRUE(run_on(threads.at(0), [] {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    return sigismember(&blocked, SIGPIPE) == 1 && sigismember(&blocked, SIGINT) == 1;
  }));
  sigset_t here;
  pthread_sigmask(SIG_SETMASK, nullptr, &here);
  EXPECT_EQ(sigismember(&here, SIGINT), 0);
}

TEST(IoThreads, StopEndsThreadsAndMayBeRepeated) {
  IoThreads threads(2, "stopping");
  EXPECT_EQ(test::thread_count("stopping"), 2);
  threads.stop();
  threads.stop();
  // A joined thread stands in /proc a moment longer.
  EXPECT_TRUE(test::eventually([&] { return test::thread_count("stopping") == 0; }));
}

TEST(IoThreads, NeedNoMoreDescriptorsOnceTheyExist) {
  IoThreads threads(1);
  const test::NoMoreDescriptors none;
  EXPECT_NO_THROW(boost::asio::ip::tcp::socket{threads.at(0)});
  EXPECT_THROW(IoThreads{1}, std::runtime_error);
}

TEST(IoThreads, DestroysHandlersThatOwnSocketsOfOtherContexts) {
  const auto counted = std::make_shared<int>(0);
  {
    IoThreads threads(2);
    threads.stop();
    for (std::size_t i = 0; i < 2; ++i) {
      auto socket = std::make_shared<boost::asio::ip::tcp::socket>(threads.at(1 - i));
      socket->open(boost::asio::ip::tcp::v4());
      auto timer =
          std::make_shared<boost::asio::steady_timer>(threads.at(i), std::chrono::hours(1));
      timer->async_wait([socket, timer, counted](boost::system::error_code) {});
    }
    EXPECT_EQ(counted.use_count(), 3);
  }
  EXPECT_EQ(counted.use_count(), 1);
}

}  // namespace
}  // namespace scistream::net

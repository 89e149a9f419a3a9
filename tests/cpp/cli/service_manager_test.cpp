#include "cli/service_manager.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>

#include "net/fd.hpp"

namespace scistream::cli {
namespace {

using std::chrono::milliseconds;

/// What systemd listens on, for a program that it waits for and watches.
class ServiceManager : public testing::Test {
 protected:
  ServiceManager() {
    std::string folder = std::filesystem::temp_directory_path() / "notify-XXXXXX";
    EXPECT_NE(::mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    const std::string path = folder_ / "socket";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    ::setenv("WATCHDOG_USEC", "30000", 1);
  }
  ~ServiceManager() override {
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("WATCHDOG_USEC");
    std::filesystem::remove_all(folder_);
  }

  /// The next message; empty if none comes in time.
  std::string heard(milliseconds limit) {
    pollfd entry{socket_.get(), POLLIN, 0};
    if (::poll(&entry, 1, static_cast<int>(limit.count())) <= 0) return {};
    std::array<char, 256> text{};
    const auto got = ::recv(socket_.get(), text.data(), text.size(), 0);
    return {text.data(), static_cast<std::size_t>(got)};
  }

 private:
  std::filesystem::path folder_;
  net::Fd socket_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
};

constexpr milliseconds long_enough{10'000};

TEST_F(ServiceManager, AnswersAreToldAndPingsGoOn) {
  const Heartbeat heartbeat([](const Heartbeat::Answer& answer) { answer("at work"); });
  EXPECT_EQ(heard(long_enough), "WATCHDOG=1\nSTATUS=at work");
  EXPECT_EQ(heard(long_enough), "WATCHDOG=1\n");
  EXPECT_EQ(heard(long_enough), "WATCHDOG=1\n");
}

TEST_F(ServiceManager, WhoDoesNotAnswerIsNotSaidToBeAliveUntilItDoes) {
  std::promise<Heartbeat::Answer> asked;
  int questions = 0;
  const Heartbeat heartbeat([&](Heartbeat::Answer answer) {
    if (questions++ == 0) return asked.set_value(std::move(answer));
    answer("at work");
  });
  const auto answer = asked.get_future().get();
  EXPECT_EQ(heard(milliseconds(100)), "") << "three times as long as the watchdog waits";
  answer("late");
  EXPECT_EQ(heard(long_enough), "WATCHDOG=1\nSTATUS=late");
  EXPECT_EQ(heard(long_enough), "WATCHDOG=1\nSTATUS=at work");
}

TEST_F(ServiceManager, AnAnswerAfterTheEndIsForNobody) {
  std::promise<Heartbeat::Answer> asked;
  Heartbeat::Answer answer;
  {
    const Heartbeat heartbeat(
        [&asked](Heartbeat::Answer given) { asked.set_value(std::move(given)); });
    answer = asked.get_future().get();
  }
  answer("too late");
  EXPECT_EQ(heard(milliseconds(0)), "");
}

TEST_F(ServiceManager, NobodyIsAskedWhereNobodyListens) {
  ::unsetenv("NOTIFY_SOCKET");
  const Heartbeat heartbeat([](const Heartbeat::Answer&) { FAIL() << "asked"; });
  EXPECT_EQ(heard(milliseconds(50)), "");
}

}  // namespace
}  // namespace scistream::cli

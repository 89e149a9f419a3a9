// Descriptors on their way into a container.
#include "proxy/handover.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "net/sockets.hpp"

namespace scistream::proxy {
namespace {

using namespace test;

struct Connection {
  Connection() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
    near = net::Fd(ends[0]);
    far = net::Fd(ends[1]);
  }
  net::Fd near;
  net::Fd far;
};

/// What tells one open file from another.
std::pair<dev_t, ino_t> identity(int descriptor) {
  struct stat found{};
  EXPECT_EQ(::fstat(descriptor, &found), 0);
  return {found.st_dev, found.st_ino};
}

class Handover : public ::testing::TestWithParam<std::size_t> {};

TEST_P(Handover, BringsEachInItsPlace) {
  const Connection between;
  std::vector<net::Fd> sockets;
  std::vector<int> numbers;
  for (std::size_t i = 0; i < GetParam(); ++i) {
    sockets.emplace_back(::socket(AF_INET, SOCK_STREAM, 0));
    numbers.push_back(sockets.back().get());
  }
  std::thread sends([&] { must(hand_over(between.near.get(), STDERR_FILENO, numbers)); });
  const Handed handed = must(take_over(between.far.get()));
  sends.join();
  EXPECT_EQ(identity(handed.output.get()), identity(STDERR_FILENO));
  ASSERT_EQ(handed.descriptors.size(), numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i)
    EXPECT_EQ(identity(handed.descriptors[i].get()), identity(numbers[i]));
}

// One message takes 128 of them, and where they are written is one more.
INSTANTIATE_TEST_SUITE_P(Counts, Handover, ::testing::Values(0, 1, 127, 128, 300));

TEST(Handover, ThatIsCutIsAnErrorAndKeepsNothing) {
  const int before = open_descriptors();
  {
    Connection between;
    between.near.reset();
    EXPECT_EQ(take_over(between.far.get()).error().cause, Cause::unavailable);
  }
  {
    Connection between;
    const char strange = 9;
    ASSERT_EQ(::send(between.near.get(), &strange, 1, 0), 1);
    EXPECT_EQ(take_over(between.far.get()).error().cause, Cause::unavailable);
  }
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace scistream::proxy

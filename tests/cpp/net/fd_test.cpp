#include "net/fd.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace scistream::net {
namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST(Fd, ClosesWhenItDies) {
  int number = -1;
  {
    const Fd fd(::dup(0));
    number = fd.get();
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(Fd, MovesOwnership) {
  Fd first(::dup(0));
  const int number = first.get();
  Fd second(std::move(first));
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(second.get(), number);
  Fd third(::dup(0));
  const int replaced = third.get();
  third = std::move(second);
  EXPECT_FALSE(is_open(replaced));
  EXPECT_EQ(third.release(), number);
  EXPECT_TRUE(is_open(number));
  ::close(number);
}

}  // namespace
}  // namespace scistream::net

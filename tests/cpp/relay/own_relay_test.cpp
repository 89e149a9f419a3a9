#include "relay/own_relay.hpp"

#include <future>
#include <thread>

#include "relay/relay_fixture.hpp"

namespace scistream::relay {
namespace {

using namespace test;
using std::chrono::hours;
using std::chrono::milliseconds;

/// To one target, with one connection that lives.
class OwnRelayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = OwnRelay::open({{{"127.0.0.1", 0}, target_.endpoint()}}, 1, null_logger());
    ASSERT_TRUE(made.ok()) << made.error().message;
    relay_ = std::move(*made);
    client_ = connect_to(relay_->listeners()[0]);
    accepted_ = target_.accept();
    ASSERT_TRUE(accepted_);
    send_all(client_.get(), "live");
    EXPECT_EQ(receive(accepted_.get(), 4).bytes, "live");
  }

  const Target target_;
  std::unique_ptr<OwnRelay> relay_;
  net::Fd client_;
  net::Fd accepted_;
};

TEST(OwnRelay, NeedsAPair) {
  EXPECT_EQ(OwnRelay::open({}, 1, null_logger()).error().cause, Cause::invalid_argument);
}

TEST_F(OwnRelayTest, AClosedOneStillTellsWhatItDid) {
  relay_->close(milliseconds(0));
  EXPECT_EQ(relay_->snapshot().bytes_to_target, 4U);
  EXPECT_EQ(relay_->listeners().size(), 1U);
  relay_->close(hours(1));
}

TEST_F(OwnRelayTest, ACloseWaitsForTheLastConnection) {
  auto closed = std::async(std::launch::async, [this] { relay_->close(hours(1)); });
  send_all(client_.get(), "more");
  EXPECT_EQ(receive(accepted_.get(), 4).bytes, "more");
  client_ = {};
  accepted_ = {};
  closed.get();
  EXPECT_EQ(relay_->snapshot().bytes_to_target, 8U);
  EXPECT_EQ(relay_->snapshot().errors, 0U);
}

TEST_F(OwnRelayTest, OneThatWaitsIsHurriedByAnother) {
  auto closed = std::async(std::launch::async, [this] { relay_->close(hours(24 * 400)); });
  relay_->close(milliseconds(0));
  closed.get();
  EXPECT_EQ(relay_->snapshot().connections_active, 0U);
}

TEST_F(OwnRelayTest, AHurryMayComeBefore) {
  relay_->hurry();
  relay_->close(hours(1));
  EXPECT_EQ(relay_->snapshot().connections_active, 0U);
}

}  // namespace
}  // namespace scistream::relay

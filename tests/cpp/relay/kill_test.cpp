// A relay in a process of its own, killed without warning.
#include <cstdlib>
#include <string>

#include "relay/another_process.hpp"
#include "relay/relay_fixture.hpp"

namespace scistream::relay {
namespace {

using namespace test;

constexpr const char* target_variable = "SCISTREAM_TEST_RELAY_TARGET";

class RelayProcess : public RelayFixture {};

/// The relay itself, when the test below starts this program again.
TEST_F(RelayProcess, DISABLED_ForwardsUntilKilled) {
  const char* target = std::getenv(target_variable);
  if (target == nullptr) GTEST_SKIP() << "started by AKillReachesBothSidesAsAReset only";
  const auto relay = forward_to({must(parse_endpoint(target))});
  const std::uint16_t port = relay->listeners()[0].port;
  ASSERT_EQ(::write(STDIN_FILENO, &port, sizeof port), static_cast<ssize_t>(sizeof port));
  AnotherProcess::wait_for_the_end();
}

// Protocol: kill-is-reset
TEST_F(RelayProcess, AKillReachesBothSidesAsAReset) {
  const Target target;
  AnotherProcess relay("RelayProcess.DISABLED_ForwardsUntilKilled",
                       std::string(target_variable) + "=" + to_string(target.endpoint()));
  std::uint16_t port = 0;
  ASSERT_EQ(poll_for(relay.channel(), POLLIN), 1);
  ASSERT_EQ(::read(relay.channel(), &port, sizeof port), static_cast<ssize_t>(sizeof port));

  const net::Fd client = connect_to({"127.0.0.1", port});
  const net::Fd accepted = target.accept();
  ASSERT_TRUE(accepted);
  send_all(client.get(), "half of the da");
  EXPECT_EQ(receive(accepted.get(), 14).bytes, "half of the da");
  // One side has said that it is done; the cut still is no end of the data.
  half_close(accepted.get());
  EXPECT_EQ(receive(client.get()).error, 0);

  EXPECT_TRUE(WIFSIGNALED(relay.kill()));
  EXPECT_EQ(receive(accepted.get()).error, ECONNRESET);
  EXPECT_NE(::send(client.get(), "x", 1, MSG_NOSIGNAL), 1);
}

}  // namespace
}  // namespace scistream::relay

#include <gtest/gtest.h>

#include "client/app_controller.hpp"
#include "client/session_options.hpp"
#include "control/access.hpp"
#include "scistream/scistream.hpp"

namespace scistream::test {
namespace {

TEST(SdkDefaults, OfAControlServerAreThoseOfTheCommand) {
  const ControlServerOptions ours;
  const control::ControlServerOptions command;
  EXPECT_EQ(ours.listener_ip, command.listener_ip);
  EXPECT_EQ(ours.port, command.port);
  EXPECT_EQ(ours.type, command.type);
  EXPECT_EQ(ours.port_range, command.port_range);
  EXPECT_EQ(ours.timeout, command.timeout);
  EXPECT_EQ(ours.capacity_mbps, command.capacity_mbps);
  EXPECT_EQ(ours.max_session, command.max_session);
  EXPECT_EQ(ours.idle_limit, command.idle_limit);
  EXPECT_EQ(ours.tls, command.tls);
  EXPECT_EQ(ours.insecure_no_auth, command.insecure_no_auth);
  const control::AccessSettings access;
  EXPECT_EQ(ours.introspection_url, access.introspection_url);
  EXPECT_EQ(ours.max_sessions_per_user, access.most_sessions);
}

TEST(SdkDefaults, OfARequestAreThoseOfTheClient) {
  const SessionRequest ours;
  const client::SessionRequest command;
  EXPECT_EQ(ours.num_conn, command.num_conn);
  EXPECT_EQ(ours.rate_mbps.has_value(), command.rate.is_explicit);
  EXPECT_EQ(ours.transport, command.transport);
  EXPECT_EQ(ours.protocol, command.protocol);
  EXPECT_EQ(ours.lifetime, command.lifetime);
  EXPECT_EQ(ours.timeout, command.timeout);
  EXPECT_EQ(ours.proxy_protocol, command.proxy_protocol);
  EXPECT_EQ(ClientOptions().tls, client::ClientSettings().tls);
}

TEST(SdkDefaults, OfAHelloAreThoseOfTheController) {
  const HelloOptions ours;
  const client::AppHello command;
  EXPECT_EQ(ours.wait_ready, command.wait_ready);
  EXPECT_EQ(ours.patience, command.patience);
  EXPECT_EQ(ours.timeout, command.timeout);
}

}  // namespace
}  // namespace scistream::test

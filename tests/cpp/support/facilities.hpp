#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "client/user_client.hpp"
#include "control/control_server.hpp"
#include "support/temporary_directory.hpp"

namespace scistream {

/// Two facilities in this process, TLS on, on loopback addresses of their own.
class FacilitiesTest : public ::testing::Test {
 protected:
  static control::ControlServerOptions options_for(const std::string& address, PortRange ports) {
    control::ControlServerOptions options;
    options.listener_ip = address;
    options.port = 0;
    options.port_range = ports;
    options.data_server_place = control::DataServerPlace::inside;
    return options;
  }

  void SetUp() override {
    prod = std::make_unique<control::ControlServer>(options_for("127.0.1.1", {35100, 35199}),
                                                    null_logger());
    cons = std::make_unique<control::ControlServer>(options_for("127.0.2.1", {36100, 36199}),
                                                    null_logger());
    const Status prod_started = prod->start();
    ASSERT_TRUE(prod_started.ok()) << prod_started.error().message;
    const Status cons_started = cons->start();
    ASSERT_TRUE(cons_started.ok()) << cons_started.error().message;
    client = std::make_unique<client::UserClient>(client_options());
  }

  [[nodiscard]] client::ClientOptions client_options() const {
    client::ClientOptions options;
    options.roots = prod->certificate() + cons->certificate();
    options.state_directory = state.path();
    return options;
  }

  [[nodiscard]] Result<client::SessionResult> request(client::SessionRequest wanted) const {
    return client->request(prod->endpoint(), cons->endpoint(), std::move(wanted));
  }

  [[nodiscard]] std::vector<Endpoint> both() const { return {prod->endpoint(), cons->endpoint()}; }

  void expect_nothing_reserved() const {
    for (const Endpoint& server : both()) {
      const auto info = client->info(server);
      ASSERT_TRUE(info.ok()) << info.error().message;
      EXPECT_EQ(info->capacity.sessions, 0U);
      EXPECT_EQ(info->capacity.ports_free, info->capacity.ports_total);
    }
  }

  TemporaryDirectory state;
  std::unique_ptr<control::ControlServer> prod;
  std::unique_ptr<control::ControlServer> cons;
  std::unique_ptr<client::UserClient> client;
};

}  // namespace scistream

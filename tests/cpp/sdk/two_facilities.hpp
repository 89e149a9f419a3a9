#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "net/sockets.hpp"
#include "scistream/scistream.hpp"
#include "support/temporary_directory.hpp"

namespace scistream::test {

/// Two facilities in this process and a client that trusts both, by the public headers alone.
class TwoFacilities : public ::testing::Test {
 protected:
  static ControlServerOptions facility_at(const std::string& address, PortRange ports) {
    ControlServerOptions options;
    options.listener_ip = address;
    options.port = 0;
    options.port_range = ports;
    return options;
  }

  void SetUp() override {
    prod.emplace(must(ControlServer::start(facility_at("127.0.1.1", {37100, 37149}))));
    cons.emplace(must(ControlServer::start(facility_at("127.0.2.1", {37200, 37249}))));
    client.emplace(must(UserClient::create(trust())));
  }

  [[nodiscard]] ClientOptions trust() const {
    ClientOptions options;
    options.roots = prod->certificate() + cons->certificate();
    options.state_dir = state.path();
    return options;
  }
  /// A request that waits for nobody, for an application that is not there.
  [[nodiscard]] SessionRequest wanted() const {
    SessionRequest request;
    request.prod = prod->endpoint();
    request.cons = cons->endpoint();
    request.prod_app = {{"127.0.0.1", 9}};
    return request;
  }
  /// A request that waits for both applications.
  [[nodiscard]] SessionRequest waiting() const {
    SessionRequest request = wanted();
    request.prod_app.clear();
    return request;
  }
  [[nodiscard]] AppControllerOptions application(const PendingSession& session, Role role) const {
    AppControllerOptions options;
    options.uid = session.uid();
    options.s2cs = role == Role::producer ? prod->endpoint() : cons->endpoint();
    options.role = role;
    if (role == Role::producer) options.listeners = {{"127.0.0.1", 7000}};
    options.key = session.app_key(role);
    options.client = trust();
    return options;
  }
  void expect_sessions(std::uint64_t count) {
    for (const ControlServer* server : {&*prod, &*cons}) {
      const auto info = must(client->info(server->endpoint()));
      EXPECT_EQ(info.sessions, count);
      if (count == 0) {
        EXPECT_EQ(info.ports_free, info.ports_total);
      }
    }
  }

  TemporaryDirectory state;
  std::optional<ControlServer> prod;
  std::optional<ControlServer> cons;
  std::optional<UserClient> client;
};

/// Why it failed; fails itself if it did not.
template <class T>
Error why(const Result<T>& result) {
  EXPECT_FALSE(result.ok());
  return result ? Error{} : result.error();
}

}  // namespace scistream::test

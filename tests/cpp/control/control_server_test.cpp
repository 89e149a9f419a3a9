#include "control/control_server.hpp"

#include <gtest/gtest.h>

#include "base/wait_for.hpp"
#include "control/control_client.hpp"
#include "net/asio_scheduler.hpp"
#include "net/tcp.hpp"
#include "support/temporary_directory.hpp"

namespace scistream::control {
namespace {

ControlServerOptions options() {
  ControlServerOptions options;
  options.listener_ip = "127.0.4.1";
  options.port = 0;
  options.data_server_place = DataServerPlace::inside;
  return options;
}

bool listens(const Endpoint& endpoint) {
  const auto address = net::local_endpoint(endpoint);
  const auto socket = net::bind_tcp(*address);
  return !socket.ok() && socket.error().cause == Cause::already_exists;
}

// Protocol: control-port-addresses
TEST(ControlServer, ServesOnEachOfItsAddresses) {
  auto wanted = options();
  wanted.wan_ip = "127.0.4.2";
  wanted.lan_ip = "127.0.4.3";
  ControlServer server(wanted, null_logger());
  const Status started = server.start();
  ASSERT_TRUE(started.ok()) << started.error().message;
  const auto port = server.endpoint().port;
  net::AsioScheduler scheduler;
  for (const char* host : {"127.0.4.1", "127.0.4.2", "127.0.4.3"}) {
    ControlClient client(scheduler, {{host, port}, true, server.certificate()});
    const auto info = wait_for<ServerInfo>([&](auto done) { client.info(done); });
    EXPECT_TRUE(info.ok()) << host << ": " << info.error().message;
  }
  scheduler.stop();
  EXPECT_FALSE(listens({"127.0.4.4", port}));
}

TEST(ControlServer, LeavesNoFolderBehindWhenItsPortIsTaken) {
  const auto held = net::bind_tcp(*net::local_endpoint({"127.0.4.1", 0}));
  TemporaryDirectory folder;
  auto wanted = options();
  wanted.port = net::bound_address(held->get())->port();
  wanted.state_directory = folder.path() / "state";
  ControlServer server(wanted, null_logger());
  const Status started = server.start();
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().cause, Cause::already_exists);
  EXPECT_FALSE(std::filesystem::exists(wanted.state_directory));
}

TEST(ControlServer, NamesAnAddressThatIsNone) {
  for (const char* host : {"no such host", "nosuch.invalid"}) {
    auto wanted = options();
    wanted.listener_ip = host;
    ControlServer server(wanted, null_logger());
    const Status started = server.start();
    ASSERT_FALSE(started.ok());
    EXPECT_EQ(started.error().cause, Cause::invalid_argument) << started.error().message;
    EXPECT_NE(started.error().message.find(host), std::string::npos) << started.error().message;
  }
}

}  // namespace
}  // namespace scistream::control

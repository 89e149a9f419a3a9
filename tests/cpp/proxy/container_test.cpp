// What a container is asked for; that it works so is tested with an engine (proxy_test).
#include "proxy/container.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "net/sockets.hpp"
#include "proxy/stunnel.hpp"
#include "scistream/version.hpp"

namespace scistream::proxy {
namespace {

using nlohmann::json;
using test::must;

ContainerPlan plan() {
  ContainerPlan plan;
  plan.folder = "/state/1";
  plan.arguments = {"/usr/sbin/haproxy", "-db"};
  plan.labels = {{label::session, "a session/../1"}};
  return plan;
}

TEST(Container, HasNothingOfTheHostButItsNetworkAndItsFolder) {
  const json asked = describe(plan());
  const json& host = asked.at("HostConfig");
  EXPECT_EQ(host.at("NetworkMode"), "host");
  EXPECT_EQ(host.at("ReadonlyRootfs"), true);
  EXPECT_EQ(host.at("CapDrop"), json::array({"ALL"}));
  EXPECT_EQ(host.at("CapAdd"), json::array());
  EXPECT_EQ(host.at("SecurityOpt"), json::array({"no-new-privileges"}));
  EXPECT_EQ(host.at("AutoRemove"), true);
  EXPECT_EQ(host.at("Memory"), 1ULL << 30U);
  ASSERT_EQ(host.at("Mounts").size(), 1U);
  EXPECT_EQ(host.at("Mounts")[0].at("Source"), "/state/1");
  EXPECT_EQ(host.at("Mounts")[0].at("Target"), "/state/1");
  EXPECT_EQ(asked.at("User"), std::to_string(::geteuid()) + ":" + std::to_string(::getegid()));
  EXPECT_EQ(asked.at("Entrypoint"), json::array({"/usr/bin/s2ds", "container-init", "--folder",
                                                 "/state/1", "--", "/usr/sbin/haproxy", "-db"}));
  EXPECT_EQ(asked.at("Image"), "scistream:" + std::string(version()));
}

TEST(Container, HasANameOfItsOwnThatAnEngineTakes) {
  const std::string name = container_name(plan());
  EXPECT_TRUE(name.starts_with("scistream-a-session----1-")) << name;
  EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"), std::string::npos);
  EXPECT_NE(container_name(plan()), name);
}

TEST(DockerEngine, IsAtAUnixSocket) {
  EXPECT_TRUE(DockerEngine::at("unix:///var/run/docker.sock").ok());
  const std::string longer = "unix:///" + std::string(200, 'x');
  for (const std::string& wrong :
       {std::string("tcp://192.0.2.1:2375"), std::string("unix://"),
        std::string("unix://docker.sock"), std::string("/var/run/docker.sock"), longer}) {
    const auto engine = DockerEngine::at(wrong);
    ASSERT_FALSE(engine.ok()) << wrong;
    EXPECT_EQ(engine.error().cause, Cause::invalid_argument);
    EXPECT_NE(engine.error().message.find(wrong), std::string::npos);
  }
}

TEST(DockerEngine, ThatIsNotThereSaysWhatToDo) {
  const Status status = must(DockerEngine::at("unix:///nowhere/docker.sock")).has_image("any");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().cause, Cause::unavailable);
  EXPECT_NE(status.error().message.find("docker.io"), std::string::npos);
}

TEST(Stunnel, RefusesTheSuiteThatItCannotUseWithASharedKey) {
  DataServerPlan plan;
  plan.native.ciphersuites = {net::Ciphersuite::aes_256_gcm};
  EXPECT_EQ(stunnel_mode(plan).error().cause, Cause::invalid_argument);
  plan.native.ciphersuites.push_back(net::Ciphersuite::chacha20_poly1305);
  EXPECT_EQ(must(stunnel_mode(plan)).ciphersuites,
            std::vector{net::Ciphersuite::chacha20_poly1305});
}

}  // namespace
}  // namespace scistream::proxy

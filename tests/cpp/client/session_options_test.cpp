#include "client/session_options.hpp"

#include <gtest/gtest.h>

#include "support/temporary_directory.hpp"

namespace scistream::client {
namespace {

const Endpoint here{"127.0.1.1", 5000};
const Endpoint elsewhere{"gateway.example.org", 5000};

Cause cause_of(const ClientSettings& settings) {
  const auto options = client_options(settings);
  EXPECT_FALSE(options.ok());
  return options ? Cause::failure : options.error().cause;
}

TEST(SessionOptions, SettingsThatContradictEachOtherAreRefused) {
  ClientSettings half;
  half.certificate = "user.crt";
  EXPECT_EQ(cause_of(half), Cause::invalid_argument);
  ClientSettings plain = half;
  plain.key = "user.key";
  plain.tls = false;
  EXPECT_EQ(cause_of(plain), Cause::invalid_argument);
  ClientSettings both;
  both.roots = "PEM";
  both.server_cert = "server.crt";
  EXPECT_EQ(cause_of(both), Cause::invalid_argument);
}

TEST(SessionOptions, ATokenThatIsGivenTakesThePlaceOfLogins) {
  const TemporaryDirectory state;
  ClientSettings settings;
  settings.tls = false;
  settings.state_directory = state.path();
  EXPECT_NE(client_options(settings)->tokens, nullptr);
  settings.token = "mine";
  const auto options = client_options(settings);
  EXPECT_EQ(options->tokens, nullptr);
  EXPECT_EQ(options->token, "mine");
}

TEST(SessionOptions, KeysAreMadeWhereTheyMayTravel) {
  SessionRequest request;
  const Secret own = Secret::random(key_size);
  ASSERT_TRUE(choose_app_keys(true, elsewhere, elsewhere, own, {}, request).ok());
  EXPECT_EQ(request.prod_app_key, own);
  EXPECT_EQ(request.cons_app_key.size(), key_size);
  ASSERT_TRUE(choose_app_keys(false, here, here, {}, {}, request).ok());
  EXPECT_EQ(request.prod_app_key.size(), key_size);
  EXPECT_NE(request.prod_app_key, own);
}

TEST(SessionOptions, NoKeyIsSentWhereItCouldBeRead) {
  SessionRequest request;
  ASSERT_TRUE(choose_app_keys(false, here, elsewhere, {}, {}, request).ok());
  EXPECT_TRUE(request.prod_app_key.empty());
  EXPECT_TRUE(request.cons_app_key.empty());
  const Status refused =
      choose_app_keys(false, here, elsewhere, {}, Secret::random(key_size), request);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().cause, Cause::invalid_argument);
}

TEST(SessionOptions, ProtocolsAreTcpAndUdp) {
  EXPECT_TRUE(check_protocol("tcp").ok());
  EXPECT_TRUE(check_protocol("udp").ok());
  EXPECT_EQ(check_protocol("TCP").error().cause, Cause::invalid_argument);
}

}  // namespace
}  // namespace scistream::client

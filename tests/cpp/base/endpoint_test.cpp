#include "base/endpoint.hpp"

#include <gtest/gtest.h>

namespace scistream {
namespace {

// Protocol: address-form
TEST(Endpoint, ParsesNamesAddressesAndBrackets) {
  EXPECT_EQ(*parse_endpoint("localhost:5000"), (Endpoint{"localhost", 5000}));
  EXPECT_EQ(*parse_endpoint("127.0.0.1:1"), (Endpoint{"127.0.0.1", 1}));
  EXPECT_EQ(*parse_endpoint("[::1]:65535"), (Endpoint{"::1", 65535}));
}

// Protocol: address-form
TEST(Endpoint, WritesWhatItParses) {
  for (const char* text : {"localhost:5000", "127.0.0.1:1", "[::1]:65535", "[fe80::1%eth0]:7"}) {
    EXPECT_EQ(to_string(*parse_endpoint(text)), text);
  }
}

TEST(Endpoint, RefusesWhatIsNoAddressAndNamesIt) {
  for (const char* text : {"", ":", "host", "host:", "host:0", "host:65536", "host:12x", ":5000",
                           "::1:5000", "[::1]", "[::1]5000", "[::1", "[zz]:1", "[::1%../../x]:1",
                           "[::1%a b]:1", "a b:1", "h:-1", "host:99999999999999999999", "h\n:1"}) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_FALSE(endpoint.ok()) << text;
    EXPECT_EQ(endpoint.error().cause, Cause::invalid_argument);
    EXPECT_NE(endpoint.error().message.find("HOST:PORT"), std::string::npos);
  }
}

TEST(Endpoint, SaysWhatToLeaveOutOfAUrl) {
  const auto endpoint = parse_endpoint("http://gateway:7000");
  ASSERT_FALSE(endpoint.ok());
  EXPECT_NE(endpoint.error().message.find("leave 'http://' out"), std::string::npos);
}

TEST(Endpoint, AllowsPortZeroWhereAsked) {
  EXPECT_TRUE(parse_endpoint("h:0", ZeroPort::allowed).ok());
  EXPECT_FALSE(parse_endpoint("h:0").ok());
}

TEST(Endpoint, ParsesCommaLists) {
  EXPECT_TRUE(parse_endpoints("")->empty());
  EXPECT_EQ(parse_endpoints("a:1,b:2")->size(), 2U);
  EXPECT_EQ(to_string(*parse_endpoints("a:1,[::1]:2")), "a:1,[::1]:2");
  for (const char* text : {"a:1,", ",a:1", "a:1,,b:2", "a:1;b:2"}) {
    EXPECT_FALSE(parse_endpoints(text).ok()) << text;
  }
}

TEST(PortRange, ParsesRangesAndSinglePorts) {
  EXPECT_EQ(*parse_port_range("5100-5200"), (PortRange{5100, 5200}));
  EXPECT_EQ(parse_port_range("5100-5200")->size(), 101);
  EXPECT_EQ(*parse_port_range("7"), (PortRange{7, 7}));
  for (const char* text : {"", "-", "1-", "-1", "2-1", "0-5", "1-65536", "1-2-3", "a-b"}) {
    EXPECT_FALSE(parse_port_range(text).ok()) << text;
  }
}

TEST(Host, TellsLoopbackAndWildcard) {
  for (const char* host : {"localhost", "127.0.0.1", "127.0.2.1", "::1"})
    EXPECT_TRUE(is_loopback(host)) << host;
  for (const char* host : {"", "0.0.0.0", "10.0.0.1", "127.example", "::"})
    EXPECT_FALSE(is_loopback(host)) << host;
  for (const char* host : {"", "0.0.0.0", "::"}) EXPECT_TRUE(is_wildcard(host));
}

}  // namespace
}  // namespace scistream

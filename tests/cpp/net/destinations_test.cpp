#include "net/destinations.hpp"

#include <gtest/gtest.h>

#include "net/sockets.hpp"

namespace scistream::net {
namespace {

using test::must;

boost::asio::ip::address address(const std::string& text) {
  return boost::asio::ip::make_address(text);
}

TEST(Destinations, AreWrittenAsTheyAreRead) {
  for (const char* text :
       {"10.0.0.0/8", "192.0.2.7", "192.0.2.7:8000-8100", "192.0.2.0/24:443", "[2001:db8::]/32",
        "[2001:db8::]/32:443", "[::1]", "0.0.0.0/0", "[::]/0:1-1024"}) {
    const auto parsed = parse_destination(text);
    ASSERT_TRUE(parsed.ok()) << text << ": " << parsed.error().message;
    EXPECT_EQ(to_string(*parsed), text);
  }
}

TEST(Destinations, TakeWhatPeopleWrite) {
  EXPECT_EQ(to_string(must(parse_destination("10.1.2.3/8"))), "10.0.0.0/8");
  EXPECT_EQ(to_string(must(parse_destination("2001:db8::1"))), "[2001:db8::1]");
  EXPECT_EQ(to_string(must(parse_destination("2001:db8::1/32"))), "[2001:db8::]/32");
  EXPECT_EQ(to_string(must(parse_destination("::ffff:10.0.0.0/104"))), "10.0.0.0/8");
}

TEST(Destinations, NameWhatIsNone) {
  for (const char* text :
       {"", "x", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "10.0.0.0/8:0", "10.0.0.0/8:5-4",
        "10.0.0.0/8:70000", "[::1", "::1/129", "fe80::1%eth0", "10.0.0.0/8/8", "::ffff:1.2.3.4/8",
        "10.0.0.0/ 8", "host.example.org", "10.0.0.0/8:", "10.0.0.0/"}) {
    const auto parsed = parse_destination(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.error().cause, Cause::invalid_argument);
    EXPECT_NE(parsed.error().message.find(std::string("'") + text), std::string::npos)
        << parsed.error().message;
  }
}

TEST(Destinations, PermitWhatIsAllowedUnlessItIsDenied) {
  const auto all = must(Destinations::parse(
      {"10.0.0.0/8:1000-2000", "[2001:db8::]/32", "!10.0.0.1", "![2001:db8:1::]/48:22"}));
  EXPECT_TRUE(all.permit(address("10.9.9.9"), 1000));
  EXPECT_TRUE(all.permit(address("10.9.9.9"), 2000));
  EXPECT_FALSE(all.permit(address("10.9.9.9"), 999));
  EXPECT_FALSE(all.permit(address("10.9.9.9"), 2001));
  EXPECT_FALSE(all.permit(address("10.0.0.1"), 1500));
  EXPECT_FALSE(all.permit(address("11.0.0.1"), 1500));
  EXPECT_TRUE(all.permit(address("2001:db8::5"), 22));
  EXPECT_FALSE(all.permit(address("2001:db8:1::5"), 22));
  EXPECT_FALSE(all.permit(address("2001:db9::5"), 80));
  EXPECT_EQ(must(Destinations::parse(all.to_strings())), all);
}

TEST(Destinations, WithNoneAllowedPermitAnythingThatIsNotDenied) {
  EXPECT_TRUE(Destinations().permit(address("127.0.0.1"), 1));
  const auto all = must(Destinations::parse({"!127.0.0.0/8"}));
  EXPECT_TRUE(all.permit(address("192.0.2.1"), 1));
  EXPECT_FALSE(all.permit(address("127.9.9.9"), 1));
}

TEST(Destinations, AnAddressCountsHoweverItIsWritten) {
  const auto all = must(Destinations::parse({"!127.0.0.0/8", "!169.254.0.0/16"}));
  EXPECT_FALSE(all.permit(address("::ffff:127.0.0.1"), 1));
  EXPECT_FALSE(all.permit(address("::ffff:169.254.169.254"), 80));
  EXPECT_FALSE(all.may_permit({"::ffff:7f00:1", 1}));
  EXPECT_FALSE(all.permit(address("0.0.0.0"), 1)) << "which leads to loopback";
  EXPECT_FALSE(all.permit(address("::ffff:0.0.0.0"), 1));
  EXPECT_TRUE(all.may_permit({"localhost", 1})) << "a name is looked at when it is resolved";
}

TEST(Destinations, SpecialOnesHoldWhatNoPeerHas) {
  Destinations all;
  all.denied = special_destinations();
  for (const char* text :
       {"127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "ff02::1", "fd00:ec2::254", "100.100.100.200", "::ffff:127.0.0.1"})
    EXPECT_FALSE(all.permit(address(text), 80)) << text;
  for (const char* text : {"10.0.0.1", "192.168.1.1", "198.51.100.1", "2001:db8::1", "fd12::1"})
    EXPECT_TRUE(all.permit(address(text), 80)) << text;
}

TEST(Destinations, NoAddressIsNoWayAroundWhatIsDenied) {
  const auto v6 = must(Destinations::parse({"!::1"}));
  EXPECT_FALSE(v6.permit(address("::"), 1));
  EXPECT_TRUE(v6.permit(address("0.0.0.0"), 1));
  EXPECT_TRUE(must(Destinations::parse({"127.0.0.0/8"})).permit(address("0.0.0.0"), 1));
}

TEST(OwnedByPeer, IsAnAddressOrHalfOfOne) {
  EXPECT_EQ(owned_by_peer(std::string("192.0.2.1")), "192.0.2.1");
  EXPECT_EQ(owned_by_peer(std::string("::ffff:192.0.2.1")), "192.0.2.1");
  EXPECT_EQ(owned_by_peer(std::string("2001:db8::1:2:3:4")), "2001:db8::");
  EXPECT_EQ(owned_by_peer(std::string("2001:db8::ffff")), "2001:db8::");
  EXPECT_EQ(owned_by_peer(std::string("")), "");
}

TEST(Destinations, ConnectedNetworksHaveNoLoopback) {
  for (const Network& each : connected_networks()) {
    EXPECT_FALSE(each.address.is_loopback()) << to_string(each);
    EXPECT_TRUE(each.contains(each.address));
  }
}

}  // namespace
}  // namespace scistream::net

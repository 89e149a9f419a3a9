#include "client/pins.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "net/certificate.hpp"
#include "support/temporary_directory.hpp"

namespace scistream::client {
namespace {

const std::string& certificate() {
  static const std::string pem = net::make_self_signed({"gw.example.org"})->certificate;
  return pem;
}
const std::string& another() {
  static const std::string pem = net::make_self_signed({"gw.example.org"})->certificate;
  return pem;
}

class PinsTest : public ::testing::Test {
 protected:
  static constexpr auto no = Pins::Replace::no;
  static constexpr auto yes = Pins::Replace::yes;
  void write(const std::string& text) {
    std::filesystem::create_directories(folder_.path() / "trusted");
    std::ofstream(folder_.path() / "trusted/gw.example.org:5000.pem") << text;
  }

  TemporaryDirectory folder_;
  const Pins pins_{folder_.path()};
  const Endpoint one_{"gw.example.org", 5000};
};

// Protocol: trust-pin
TEST_F(PinsTest, AreForOneServerEach) {
  EXPECT_FALSE(pins_.find(one_)->has_value());
  ASSERT_TRUE(pins_.pin(one_, certificate(), no).ok());
  EXPECT_EQ(**pins_.find(one_), certificate());
  // Names have no case and addresses several spellings; ports count.
  EXPECT_EQ(**pins_.find({"GW.Example.org", 5000}), certificate());
  EXPECT_EQ(**pins_.find({"gw.example.org.", 5000}), certificate());
  EXPECT_FALSE(pins_.find({"gw.example.org", 5001})->has_value());
  EXPECT_FALSE(pins_.find({"example.org", 5000})->has_value());
  ASSERT_TRUE(pins_.pin({"0::1", 5000}, certificate(), no).ok());
  EXPECT_TRUE(pins_.find({"::1", 5000})->has_value());
  EXPECT_EQ(pins_.pin(one_, another(), no).error().cause, Cause::already_exists);
  EXPECT_EQ(**pins_.find(one_), certificate());
  ASSERT_TRUE(pins_.pin(one_, another(), yes).ok());
  EXPECT_EQ(**pins_.find(one_), another());
}

TEST_F(PinsTest, AreListedByServerAndForgotten) {
  EXPECT_TRUE(pins_.all().empty());
  const Endpoint six{"::1", 5000};
  ASSERT_TRUE(pins_.pin(six, "six", no).ok());
  ASSERT_TRUE(pins_.pin(one_, "one", no).ok());
  std::ofstream(folder_.path() / "trusted/notes.txt") << "not one of them";
  EXPECT_EQ(pins_.all(),
            (std::vector<std::pair<Endpoint, std::string>>{{six, "six"}, {one_, "one"}}));
  EXPECT_TRUE(*pins_.forget(six));
  EXPECT_FALSE(*pins_.forget(six));
  EXPECT_EQ(pins_.all().size(), 1U);
}

TEST_F(PinsTest, ArePrivate) {
  ASSERT_TRUE(pins_.pin(one_, certificate(), no).ok());
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path() / "trusted")) {
    const auto others = std::filesystem::perms::group_all | std::filesystem::perms::others_all;
    EXPECT_EQ(entry.status().permissions() & others, std::filesystem::perms::none);
  }
}

TEST_F(PinsTest, OneThatCannotBeReadIsAnErrorAndNotNone) {
  std::filesystem::create_directories(folder_.path() / "trusted/gw.example.org:5000.pem");
  EXPECT_FALSE(pins_.find(one_).ok());
}

TEST_F(PinsTest, OneThatHoldsNotExactlyOneCertificateIsAnErrorAndNotNone) {
  for (const std::string& text :
       {std::string(), std::string("nonsense"), certificate() + another()}) {
    write(text);
    const auto found = pins_.find(one_);
    ASSERT_FALSE(found.ok()) << text;
    EXPECT_NE(found.error().message.find("gw.example.org:5000.pem"), std::string::npos);
  }
}

TEST(Pins, WithoutAFolderThereAreNone) {
  const Pins none{{}};
  EXPECT_FALSE(none.find({"gw", 5000})->has_value());
  EXPECT_TRUE(none.all().empty());
  EXPECT_FALSE(*none.forget({"gw", 5000}));
  EXPECT_EQ(none.pin({"gw", 5000}, "x", Pins::Replace::no).error().cause,
            Cause::failed_precondition);
}

}  // namespace
}  // namespace scistream::client

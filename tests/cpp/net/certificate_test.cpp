#include "net/certificate.hpp"

#include <gtest/gtest.h>

#include <regex>

namespace scistream::net {
namespace {

// Protocol: certificate-names
TEST(Certificate, CoversTheNamesItWasMadeForAndNoOthers) {
  const auto made = make_self_signed({"gw.example.org", "127.0.1.1", "::1"});
  ASSERT_TRUE(made.ok());
  for (const char* host : {"gw.example.org", "127.0.1.1", "::1"}) {
    EXPECT_TRUE(certificate_covers(made->certificate, host)) << host;
  }
  for (const char* host : {"other.example.org", "127.0.1.2", "::2", "example.org"}) {
    EXPECT_FALSE(certificate_covers(made->certificate, host)) << host;
  }
  EXPECT_TRUE(check_certificate(made->certificate, made->key).ok());
}

TEST(Certificate, FingerprintIsSha256InPairs) {
  const auto made = make_self_signed({"localhost"});
  const auto print = fingerprint(made->certificate);
  ASSERT_TRUE(print.ok());
  EXPECT_TRUE(std::regex_match(*print, std::regex("([0-9A-F]{2}:){31}[0-9A-F]{2}"))) << *print;
  EXPECT_NE(*print, *fingerprint(make_self_signed({"localhost"})->certificate));
}

TEST(Certificate, SaysWhatAUserIsShown) {
  const auto made = make_self_signed({"gw.example.org", "127.0.1.1", "::1"});
  const auto facts = facts_of(made->certificate);
  ASSERT_TRUE(facts.ok());
  EXPECT_EQ(facts->fingerprint, *fingerprint(made->certificate));
  EXPECT_EQ(facts->names, (std::vector<std::string>{"gw.example.org", "127.0.1.1", "::1"}));
  const auto years = std::chrono::hours(24 * 365);
  EXPECT_GT(facts->expires, std::chrono::system_clock::now() + 9 * years);
  EXPECT_LT(facts->expires, std::chrono::system_clock::now() + 11 * years);
  EXPECT_FALSE(facts_of("nothing").ok());
}

// Protocol: certificate-unfit
TEST(Certificate, AKeyOfAnotherCertificateIsRefused) {
  const auto one = make_self_signed({"localhost"});
  const auto two = make_self_signed({"localhost"});
  EXPECT_FALSE(check_certificate(one->certificate, two->key).ok());
  EXPECT_FALSE(check_certificate("nothing", two->key).ok());
  EXPECT_FALSE(check_certificate(one->certificate, "nothing").ok());
  EXPECT_FALSE(fingerprint("nothing").ok());
}

}  // namespace
}  // namespace scistream::net

#include "net/url.hpp"

#include <gtest/gtest.h>

namespace scistream::net {
namespace {

TEST(Url, IsTakenApart) {
  const auto url = parse_url("https://auth.example.org/oauth2/token?a=b");
  ASSERT_TRUE(url.ok());
  EXPECT_TRUE(url->encrypted);
  EXPECT_EQ(url->server, (Endpoint{"auth.example.org", 443}));
  EXPECT_EQ(url->target, "/oauth2/token?a=b");
  EXPECT_EQ(parse_url("HTTP://127.0.0.1:8080").value(), (Url{false, {"127.0.0.1", 8080}, "/"}));
  EXPECT_EQ(parse_url("http://127.0.0.1").value().server.port, 80);
  EXPECT_EQ(parse_url("https://[::1]:8443/x").value(), (Url{true, {"::1", 8443}, "/x"}));
  EXPECT_EQ(parse_url("https://[::1]").value(), (Url{true, {"::1", 443}, "/"}));
  EXPECT_EQ(parse_url("https://a.example?x").value().target, "/?x");
}

TEST(Url, IsPutTogetherAsItWasGiven) {
  for (const char* text : {"https://auth.example.org/a?b", "http://[::1]:8080/", "https://[::1]/",
                           "https://a.example:80/"})
    EXPECT_EQ(to_string(parse_url(text).value()), text);
  EXPECT_EQ(server_of(parse_url("https://a.example/secret?code=1").value()), "https://a.example");
}

TEST(Url, WhatIsNoneIsRefusedByName) {
  for (const char* text :
       {"", "auth.example.org", "ftp://a.example/", "https://", "https:///path", "https://:443/",
        "https://user:password@a.example/", "https://a.example/#part", "https://a.example/a b",
        "https://a.example/\r\nHost: b", "https://a.example:0/", "https://a.example:65536/",
        "https://a.example:x/", "https://[::1/", "https://a.example/\xc3\xa9"}) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url.ok()) << text;
    EXPECT_EQ(url.error().cause, Cause::invalid_argument);
  }
  EXPECT_FALSE(parse_url("https://a.example/" + std::string(10'000, 'a')).ok());
}

TEST(Url, FormsEscapeWhatIsNotPlain) {
  EXPECT_EQ(percent_encoded("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(percent_encoded("a b&c=\xc3\xa9/"), "a%20b%26c%3D%C3%A9%2F");
  EXPECT_EQ(form_encoded({{"token", "a&b"}, {"empty", ""}}), "token=a%26b&empty=");
}

}  // namespace
}  // namespace scistream::net

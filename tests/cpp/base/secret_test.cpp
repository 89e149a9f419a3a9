#include "base/secret.hpp"

#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <string>
#include <vector>

namespace scistream {
namespace {

TEST(Secret, SurvivesHexadecimal) {
  const Secret secret = Secret::random(key_size);
  EXPECT_EQ(secret.size(), key_size);
  EXPECT_TRUE(*Secret::from_hex(secret.hex(), key_size) == secret);
}

TEST(Secret, ErrorsDoNotRepeatTheText) {
  for (const std::string& text :
       {std::string(63, 'a'), std::string(65, 'a'), "zz" + std::string(62, 'a'), std::string()}) {
    const auto secret = Secret::from_hex(text, key_size);
    ASSERT_FALSE(secret.ok());
    if (text.empty()) continue;
    EXPECT_EQ(secret.error().message.find(text), std::string::npos);
  }
}

TEST(Secret, MovedFromIsEmpty) {
  Secret a = Secret::random(4);
  const Secret b = std::move(a);
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(b.size(), 4U);
}

// Protocol: hello-proof
TEST(Hmac, MatchesAKnownAnswerAndSeparatesParts) {
  const Secret key(std::string_view("key"));
  // Reference: Python, hmac.new(b"key", struct.pack(">Q", 3) + b"abc", "sha256").
  const std::vector<std::string> one{"abc"};
  EXPECT_EQ(to_hex(hmac_sha256(key, one)),
            "1d53d5920fce3f0b311c9f8ecf0fceaba4b4a87d4ae1c9bc98becb0d165135e5");
  const std::vector<std::string> ab_c{"ab", "c"};
  const std::vector<std::string> a_bc{"a", "bc"};
  EXPECT_NE(hmac_sha256(key, ab_c), hmac_sha256(key, a_bc));
}

// Protocol: random-id
TEST(Uid, IsARandomVersion4Uuid) {
  const std::regex form("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string uid = random_uid();
    EXPECT_TRUE(std::regex_match(uid, form)) << uid;
    EXPECT_TRUE(seen.insert(uid).second);
  }
}

}  // namespace
}  // namespace scistream

#include "base/base64url.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace scistream {
namespace {

std::string encoded(std::string_view text) {
  return base64url({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

// RFC 4648, section 10, without its padding.
TEST(Base64Url, IsThatOfTheStandard) {
  const std::pair<const char*, const char*> pairs[] = {{"", ""},           {"f", "Zg"},
                                                       {"fo", "Zm8"},      {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg"}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : pairs) {
    EXPECT_EQ(encoded(plain), text);
    EXPECT_EQ(from_base64url(text), plain);
  }
  EXPECT_EQ(encoded("\xfb\xff"), "-_8");
}

TEST(Base64Url, GivesBackAnyBytes) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    bytes += static_cast<char>(i * 7);
    EXPECT_EQ(from_base64url(encoded(bytes)), bytes);
  }
}

TEST(Base64Url, HasOneSpellingOnly) {
  // Padded, of the other alphabet, with white space, too short, with bits that mean nothing.
  for (const char* text :
       {"Zg==", "Zm8=", "-/8", "+_8", "Zm9v\n", " Zm9v", "Z", "Zm9vY", "Zh", "Zm9"})
    EXPECT_FALSE(from_base64url(text)) << text;
}

}  // namespace
}  // namespace scistream

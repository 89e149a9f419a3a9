#include "base/sealed.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace scistream {
namespace {

const Secret key = Secret::random(sealing_key_size);

TEST(Sealed, OpensWithItsKeyAndForItsPurpose) {
  for (const std::string& text : {std::string(), std::string("a"), std::string(100'000, 'x'),
                                  std::string("nul\0 and \xff", 10)}) {
    const std::string closed = seal(key, "file", text);
    EXPECT_EQ(unseal(key, "file", closed)->view(), text);
    EXPECT_FALSE(unseal(key, "other file", closed));
    EXPECT_FALSE(unseal(Secret::random(sealing_key_size), "file", closed));
  }
}

TEST(Sealed, ShowsNothingAndNeverTheSame) {
  const std::string text = "a secret of some length";
  const std::string closed = seal(key, "file", text);
  EXPECT_NE(closed, seal(key, "file", text));
  EXPECT_EQ(closed.find(text), std::string::npos);
}

TEST(Sealed, OpensNothingThatWasChanged) {
  const std::string closed = seal(key, "file", "secret");
  for (std::size_t i = 0; i < closed.size(); ++i) {
    std::string changed = closed;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(unseal(key, "file", changed)) << i;
    EXPECT_FALSE(unseal(key, "file", closed.substr(0, i))) << i;
  }
  EXPECT_FALSE(unseal(key, "file", closed + "A"));
  EXPECT_FALSE(unseal(key, "file", "no base64!"));
}

TEST(Sealed, WantsAKeyOfItsSize) {
  EXPECT_THROW(seal(Secret::random(16), "file", "secret"), std::invalid_argument);
}

}  // namespace
}  // namespace scistream

#include "auth/places.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace scistream::auth {
namespace {

TEST(Places, EachNameHasSoMany) {
  Places places(2);
  auto first = places.take("alice");
  const auto second = places.take("alice");
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(places.take("alice"));
  EXPECT_TRUE(places.take("bob"));
  const auto copy = first;
  first.reset();
  EXPECT_FALSE(places.take("alice"));  // it is held still
}

TEST(Places, AreGivenBackAlsoAfterTheEnd) {
  std::optional<Places> places(1);
  auto place = places->take("alice");
  ASSERT_TRUE(place);
  place.reset();
  place = places->take("alice");
  EXPECT_TRUE(place);
  places.reset();
  place.reset();
}

}  // namespace
}  // namespace scistream::auth

#include "client/session_book.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "support/facilities.hpp"

namespace scistream::client {
namespace {

TEST(SessionBook, RemembersUntilToldToForget) {
  const TemporaryDirectory directory;
  const SessionBook book(directory.path());
  EXPECT_TRUE(book.all().empty());
  ASSERT_TRUE(book.remember({"b", "p:1", "c:2", 20}).ok());
  ASSERT_TRUE(book.remember({"a", "p:3", "c:4", 30}).ok());
  EXPECT_EQ(book.find("a")->cons, "c:4");
  ASSERT_EQ(book.all().size(), 2U);
  EXPECT_EQ(book.all().front().uid, "b");  // oldest first
  book.forget("b");
  EXPECT_EQ(book.find("b").error().cause, Cause::not_found);
}

TEST(SessionBook, AnIdIsClaimedOnce) {
  const TemporaryDirectory directory;
  const SessionBook book(directory.path());
  EXPECT_TRUE(*book.claim({"a", "p:1", "c:2", 1}));
  EXPECT_FALSE(*book.claim({"a", "p:3", "c:4", 2}));
  EXPECT_EQ(book.find("a")->prod, "p:1");
}

TEST(SessionBook, ThoseOfOneSecondComeInTheirOrder) {
  const TemporaryDirectory directory;
  const SessionBook book(directory.path());
  BookEntry later{"a", "p:1", "c:2", 20, 900};
  BookEntry sooner{"b", "p:1", "c:2", 20, 100};
  ASSERT_TRUE(book.remember(later).ok());
  ASSERT_TRUE(book.remember(sooner).ok());
  ASSERT_EQ(book.all().size(), 2U);
  EXPECT_EQ(book.all().front(), sooner);
  EXPECT_EQ(book.all().back(), later);
}

TEST(SessionBook, WhatIsAboutToBeRequestedAgainHasChanged) {
  const TemporaryDirectory directory;
  const SessionBook book(directory.path());
  book.touch("a");
  EXPECT_TRUE(book.all().empty()) << "there is nothing to change";
  const BookEntry old{"a", "p:1", "c:2", 1, 2, 3};
  ASSERT_TRUE(book.remember(old).ok());
  EXPECT_EQ(*book.find("a"), old);
  book.touch("a");
  const BookEntry touched = *book.find("a");
  EXPECT_GT(touched.asked, 1'700'000'000);
  EXPECT_EQ(touched.created, old.created);
  EXPECT_EQ(touched.prod, old.prod);
}

TEST(SessionBook, OneThatSaysNoTimesIsOld) {
  const TemporaryDirectory directory;
  const SessionBook book(directory.path());
  ASSERT_TRUE(book.remember({"a", "p:1", "c:2", 7, 0, 7}).ok());
  std::ofstream(directory.path() / "sessions" / "a.json") << R"({"uid": "a", "created": 9})";
  EXPECT_EQ(book.find("a")->asked, 9) << "of an earlier version";
  std::ofstream(directory.path() / "sessions" / "a.json") << R"({"uid": "a", "asked": "x"})";
  EXPECT_EQ(book.find("a")->asked, 0);
}

TEST(SessionBook, ASpoiltFileHarmsNoOther) {
  const TemporaryDirectory directory;
  const SessionBook book(directory.path());
  ASSERT_TRUE(book.remember({"good", "p:1", "c:2", 1}).ok());
  for (const char* content : {"", "[]", "{\"uid\": 5}", "\xff\xfe"}) {
    std::ofstream(directory.path() / "sessions" / "bad.json") << content;
    EXPECT_EQ(book.all().size(), 1U) << content;
    EXPECT_TRUE(book.find("good").ok());
  }
}

TEST(SessionBook, AnIdCannotLeaveItsFolder) {
  const TemporaryDirectory directory;
  const SessionBook book(directory.path());
  EXPECT_EQ(book.remember({"../evil", "p:1", "c:2", 1}).error().cause, Cause::invalid_argument);
  EXPECT_EQ(book.find("../evil").error().cause, Cause::invalid_argument);
}

}  // namespace
}  // namespace scistream::client

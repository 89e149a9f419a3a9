#include "cli/client_settings.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.hpp"
#include "client/session_book.hpp"
#include "support/temporary_directory.hpp"

namespace scistream::cli {
namespace {

/// A state folder in which two sessions were requested, as a command line would name it.
class KnownSessionsTest : public testing::Test {
 protected:
  KnownSessionsTest() {
    const client::SessionBook book(state_);
    EXPECT_TRUE(book.remember({"run-7", "gw1:5000", "gw2:5000", 1, 0, 1}));
    EXPECT_TRUE(book.remember({"run-8", "gw1:5000", "gw1:5000", 2, 0, 2}));
  }

  [[nodiscard]] Place place(const std::string& argument) const {
    return {argument, {{"state-dir", state_.string()}}};
  }

  const TemporaryDirectory folder_;
  const std::filesystem::path state_ = folder_.path() / "state";
};

TEST_F(KnownSessionsTest, IdsAreKnownWithTheirServers) {
  EXPECT_EQ(known_sessions(place("uid")),
            (std::vector<Candidate>{{"run-7", "gw1:5000, gw2:5000"}, {"run-8", "gw1:5000"}}));
}

TEST_F(KnownSessionsTest, EachServerIsKnownOnce) {
  for (const char* argument : {"server", "s2cs", "prod", "cons"}) {
    EXPECT_EQ(known_sessions(place(argument)),
              (std::vector<Candidate>{{"gw1:5000", ""}, {"gw2:5000", ""}}))
        << argument;
  }
  EXPECT_FALSE(known_sessions(place("key-file")));
}

TEST_F(KnownSessionsTest, WhatNoServerCanBeIsNotOffered) {
  const std::string text =
      R"({"uid": "run-9", "prod": "a b", "cons": "\u001b[31mgw3:5000", "created": 3})";
  ASSERT_TRUE(write_private_file(state_ / "sessions" / "run-9.json", text));
  EXPECT_EQ(known_sessions(place("uid"))->back(), (Candidate{"run-9", ""}));
  EXPECT_EQ(known_sessions(place("prod"))->size(), 2U);
}

TEST_F(KnownSessionsTest, APipeInTheFolderIsNotWaitedFor) {
  ASSERT_EQ(::mkfifo((state_ / "sessions" / "run-9.json").c_str(), 0600), 0);
  EXPECT_EQ(known_sessions(place("uid"))->size(), 2U);
}

TEST(KnownSessions, AFolderThatIsNotThereIsNotMade) {
  const TemporaryDirectory folder;
  const auto state = folder.path() / "state";
  EXPECT_TRUE(known_sessions({"uid", {{"state-dir", state.string()}}})->empty());
  EXPECT_FALSE(std::filesystem::exists(state));
}

}  // namespace
}  // namespace scistream::cli

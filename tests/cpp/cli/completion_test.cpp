#include "cli/completion.hpp"

#include <gtest/gtest.h>

namespace scistream::cli {
namespace {

using Words = std::vector<std::string>;

/// A program with a bit of everything.
class CompletionTest : public testing::Test {
 protected:
  CompletionTest() {
    app_.fallthrough();
    app_.add_flag("-v,--v,--verbose", flag_, "Say more");
    CLI::App* asks = app_.add_subcommand("ask-one", "Ask");
    asks->add_option("uid", text_, "The session");
    asks->add_option("--transport", text_, "How")->check(CLI::IsMember({"tcp", "tls"}));
    asks->add_option("--ssl", text_, "Whether")->expected(0, 1)->type_name("[True|False]");
    asks->add_option("--type", text_, "What")->type_name("{Native,Nginx}");
    asks->add_option("--num-conn", number_, "How many");
    asks->add_option("--key-file", text_, "Its key\nand more\tof it");
    asks->add_option("--label", texts_, "Names");
    asks->add_option("--hidden", text_, "Not shown")->group("");
    CLI::App* runs = app_.add_subcommand("run", "Run");
    runs->add_option("uid", text_, "The session");
    runs->add_option("command", texts_, "-- CMD ARGS");
    app_.add_subcommand("internal", "Not for users")->group("");
  }

  Completion of(const Words& words) {
    return complete(app_, words, [this](const Place& place) {
      last_ = place;
      std::optional<std::vector<Candidate>> known;
      if (place.argument == "uid") known = {{"run-7", "gw1"}, {"run-8", ""}};
      return known;
    });
  }
  Words words_of(const Words& words) {
    Words found;
    for (const Candidate& each : of(words).candidates) found.push_back(each.word);
    return found;
  }

  CLI::App app_{"A program", "program"};
  bool flag_ = false;
  int number_ = 0;
  std::string text_;
  Words texts_;
  Place last_;
};

TEST_F(CompletionTest, CommandsComeFirstWithWhatTheyDo) {
  const std::vector<Candidate> commands{{"ask-one", "Ask"}, {"run", "Run"}};
  EXPECT_EQ(of({""}).candidates, commands);
  EXPECT_EQ(of({"a"}).candidates, commands);
  EXPECT_FALSE(of({""}).files);
  EXPECT_EQ(of({"-v", ""}).candidates, commands);
  EXPECT_TRUE(of({}).candidates.empty());
}

TEST_F(CompletionTest, OptionsThatMayStillBeGivenFollowADash) {
  EXPECT_EQ(words_of({"-"}), (Words{"--help", "--verbose"}));
  const Words all{"--help",     "--transport", "--ssl",   "--type",
                  "--num-conn", "--key-file",  "--label", "--verbose"};
  EXPECT_EQ(words_of({"ask_one", "--"}), all);
  const auto left = words_of({"ask-one", "--transport", "tls", "--label=a=b", "-v", "--"});
  EXPECT_EQ(std::count(left.begin(), left.end(), "--transport"), 0);
  EXPECT_EQ(std::count(left.begin(), left.end(), "--verbose"), 0);
  EXPECT_EQ(std::count(left.begin(), left.end(), "--label"), 1);  // may be given again
}

TEST_F(CompletionTest, AnOptionWithChoicesOffersThem) {
  EXPECT_EQ(words_of({"ask-one", "--transport", ""}), (Words{"tcp", "tls"}));
  EXPECT_EQ(words_of({"ask-one", "--transport=t"}), (Words{"--transport=tcp", "--transport=tls"}));
  EXPECT_EQ(words_of({"ask-one", "--type", ""}), (Words{"Native", "Nginx"}));
  EXPECT_FALSE(of({"ask-one", "--type", ""}).files);
}

TEST_F(CompletionTest, ASwitchTakesAValueOnlyIfItIsOne) {
  EXPECT_EQ(words_of({"ask-one", "--ssl="}), (Words{"--ssl=True", "--ssl=False"}));
  EXPECT_EQ(words_of({"ask-one", "--ssl", ""}), (Words{"run-7", "run-8"}));
  EXPECT_EQ(words_of({"ask-one", "--ssl", "no", ""}), (Words{"run-7", "run-8"}));
}

TEST_F(CompletionTest, AValueNobodyKnowsMayBeAFileUnlessItIsANumber) {
  EXPECT_TRUE(of({"ask-one", "--key-file", "k"}).files);
  EXPECT_TRUE(of({"ask-one", "--key_file=k"}).files);
  EXPECT_FALSE(of({"ask-one", "--num-conn", ""}).files);
  EXPECT_TRUE(of({"ask-one", "--num-conn", ""}).candidates.empty());
  EXPECT_TRUE(of({"ask-one", "--verbose=x"}).candidates.empty());
  EXPECT_TRUE(of({"ask-one", "--no-such=x"}).candidates.empty());
  EXPECT_FALSE(of({"ask-one", "--no-such=x"}).files);
}

TEST_F(CompletionTest, WhatTheUserHasIsOfferedWhereItStands) {
  EXPECT_EQ(of({"ask-one", "--key-file", "/k", "--transport=tls", ""}).candidates,
            (std::vector<Candidate>{{"run-7", "gw1"}, {"run-8", ""}}));
  EXPECT_EQ(last_.argument, "uid");
  EXPECT_EQ(last_.given,
            (std::map<std::string, std::string>{{"key-file", "/k"}, {"transport", "tls"}}));
}

TEST_F(CompletionTest, BehindTheLastArgumentAreOptions) {
  EXPECT_EQ(words_of({"ask-one", "run-7", ""}).front(), "--help");
  EXPECT_TRUE(words_of({"ask-one", "run-7", "x"}).empty());
}

TEST_F(CompletionTest, ACommandThatNeedNotBeGivenDoesNotStandAlone) {
  CLI::App server("A server", "server");
  server.add_subcommand("check", "Check");
  server.add_option("--port", number_, "Where");
  const auto found = complete(server, {""}).candidates;
  EXPECT_EQ(found, (std::vector<Candidate>{{"check", "Check"},
                                           {"--help", "Print this help message and exit"},
                                           {"--port", "Where"}}));
  server.require_subcommand(1);
  EXPECT_EQ(complete(server, {""}).candidates, (std::vector<Candidate>{{"check", "Check"}}));
}

TEST_F(CompletionTest, BehindTwoDashesAreValuesOnly) {
  EXPECT_TRUE(of({"run", "run-7", "--", "./analysis", ""}).files);
  EXPECT_TRUE(words_of({"run", "run-7", "--", "-"}).empty());
  EXPECT_TRUE(of({"run", "run-7", "--", "--transport", ""}).files);
}

TEST_F(CompletionTest, TheAnswerIsALineForEach) {
  EXPECT_EQ(completion_text({{{"a", "one\ntwo\tthree"}, {"\x1b[1mb", ""}}, false}),
            "words\na\tone two three\n [1mb\t\n");
  EXPECT_EQ(completion_text({{}, true}), "files\n");
}

TEST(CompletionScript, IsThereForThreeShells) {
  for (const char* shell : {"bash", "zsh", "fish"})
    EXPECT_NE(completion_script(shell).find("--complete"), std::string::npos) << shell;
  EXPECT_EQ(completion_script("tcsh"), "");
}

}  // namespace
}  // namespace scistream::cli

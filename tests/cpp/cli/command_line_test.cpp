#include "cli/command_line.hpp"

#include <gtest/gtest.h>

#include "cli/terminal.hpp"

namespace scistream::cli {
namespace {

std::vector<std::string> normalize(std::vector<std::string> words) {
  words.insert(words.begin(), "program");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return normalized(static_cast<int>(argv.size()), argv.data(), {"prod-req", "release"});
}

// Protocol: spellings
TEST(CommandLine, BothSpellingsOfOptionsAndCommandsAreOne) {
  EXPECT_EQ(normalize({"prod_req", "--num_conn=5", "--server_cert", "my_file"}),
            (std::vector<std::string>{"prod-req", "--num-conn=5", "--server-cert", "my_file"}));
}

// Protocol: values-untouched
TEST(CommandLine, ValuesAndOtherPeoplesArgumentsStayAsTheyAre) {
  EXPECT_EQ(normalize({"release", "run_7", "--label=a_b=c_d", "--", "--their_flag", "prod_req"}),
            (std::vector<std::string>{"release", "run_7", "--label=a_b=c_d", "--", "--their_flag",
                                      "prod_req"}));
}

TEST(CommandLine, DurationsCarryUnits) {
  using std::chrono::milliseconds;
  EXPECT_EQ(*parse_duration("500ms"), milliseconds(500));
  EXPECT_EQ(*parse_duration("30"), milliseconds(30'000));
  EXPECT_EQ(*parse_duration("1.5s"), milliseconds(1'500));
  EXPECT_EQ(*parse_duration("0.0001s"), milliseconds(1));  // not 0, which is no limit
  EXPECT_EQ(*parse_duration("5m"), milliseconds(300'000));
  EXPECT_EQ(*parse_duration("2h"), milliseconds(7'200'000));
  EXPECT_EQ(*parse_duration("1d"), milliseconds(86'400'000));
  for (const char* text : {"", "s", "-1", "1w", "nan", "inf", "1e300", "5 s", "1,5s"}) {
    EXPECT_FALSE(parse_duration(text).ok()) << text;
  }
}

// Protocol: failure-codes
TEST(CommandLine, CausesBecomeExitCodes) {
  const auto code = [](const std::vector<std::string>& words, const std::function<Status()>& body) {
    CLI::App app("test", "test");
    const bool json = false;
    return run(app, words, body, {json});
  };
  EXPECT_EQ(code({}, [] { return Status(); }), 0);
  EXPECT_EQ(code({}, [] { return Status(Error{Cause::not_found, "x"}); }), 7);
  EXPECT_EQ(code({"--unknown"}, [] { return Status(); }), 2);
  EXPECT_EQ(code({}, []() -> Status { throw std::runtime_error("x"); }), 1);
}

// Protocol: option-values
TEST(CommandLine, ASwitchTakesAValueOrNone) {
  for (const auto& [words, expected] :
       std::vector<std::pair<std::vector<std::string>, bool>>{{{}, true},
                                                              {{"--ssl=False"}, false},
                                                              {{"--ssl", "false"}, false},
                                                              {{"--ssl"}, true},
                                                              {{"--ssl=1"}, true}}) {
    CLI::App app("test", "test");
    bool value = true;
    add_switch(app, "--ssl", value, "TLS");
    const bool json = false;
    EXPECT_EQ(run(app, words, [] { return Status(); }, {json}), 0);
    EXPECT_EQ(value, expected);
  }
}

TEST(Terminal, ControlCharactersNeverReachIt) {
  EXPECT_EQ(printable("a\033[31mb\tc\x7f"), "a?[31mb?c?");
}

TEST(Terminal, ColumnsAreAligned) {
  EXPECT_EQ(table({{"A", "B"}, {"long", "x"}}, -1), "A     B\nlong  x\n");
}

TEST(Terminal, NumbersAreReadable) {
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1'234'000), "1.23 MB");
  EXPECT_EQ(human_bytes(56'780'000'000), "56.8 GB");
  EXPECT_EQ(human_duration(119'000), "119 s");
  EXPECT_EQ(human_duration(7'200'000), "2 h");
}

}  // namespace
}  // namespace scistream::cli

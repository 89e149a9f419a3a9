// Command lines: durations, switches and spellings.
#include <string>
#include <vector>

#include "cli/command_line.hpp"
#include "fuzz.hpp"

using namespace scistream;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(text_of(data, size));
  if (const auto duration = cli::parse_duration(text)) require(duration->count() >= 0);

  // A line is an argument.
  std::vector<std::string> words{"program"};
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const auto end = std::min(text.find('\n', begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  const auto arguments =
      cli::normalized(static_cast<int>(argv.size()), argv.data(), {"prod-req", "release"});
  require(arguments.size() < words.size() + 1);

  CLI::App app("fuzzed", "fuzzed");
  bool tls = true;
  bool mock = false;
  std::string uid;
  std::chrono::milliseconds limit{0};
  cli::add_switch(app, "--ssl", tls, "");
  CLI::App* command = app.add_subcommand("prod-req", "");
  cli::add_switch(*command, "--mock", mock, "");
  cli::add_duration(*command, "--timeout", limit, "");
  command->add_option("uid", uid, "");
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Error&) {
    return 0;
  }
  return 0;
}

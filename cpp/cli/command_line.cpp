#include "cli/command_line.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iomanip>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "base/text.hpp"
#include "cli/terminal.hpp"

namespace scistream::cli {

std::optional<bool> parse_switch(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* yes : {"true", "1", "yes", "on"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"false", "0", "no", "off"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

std::string dashed(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

std::vector<std::string> normalized(int argc, char** argv,
                                    const std::vector<std::string>& commands) {
  std::vector<std::string> arguments;
  bool ours = true;
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    if (argument == "--") ours = false;
    if (ours && argument.starts_with("--")) {
      const auto end = std::min(argument.find('='), argument.size());
      argument.replace(0, end, dashed(argument.substr(0, end)));
      if (argument == "--ssl" || argument == "--mock") {
        // What follows may be its value, or an argument of its own.
        const bool valued = i + 1 < argc && parse_switch(argv[i + 1]);
        argument += std::string("=") + (valued ? argv[++i] : "True");
      }
    } else if (ours) {
      const std::string name = dashed(argument);
      if (std::find(commands.begin(), commands.end(), name) != commands.end()) argument = name;
    }
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

namespace {

/// CLI11 reads the environment for every subcommand, used or not, and for the program after that:
/// what it finds would replace what was given to the subcommand in use.
void read_environment_once(CLI::App& app, const std::vector<std::string>& arguments) {
  const auto commands = app.get_subcommands([](CLI::App*) { return true; });
  const auto given = std::find_first_of(
      arguments.begin(), arguments.end(), commands.begin(), commands.end(),
      [](const std::string& word, const CLI::App* command) { return command->check_name(word); });
  for (CLI::App* command : commands) {
    const bool used = given != arguments.end() && command->check_name(*given);
    for (CLI::Option* option : command->get_options()) {
      const CLI::Option* general = app.get_option_no_throw(option->get_name());
      if (!used || (general != nullptr && !general->get_envname().empty())) option->envname("");
    }
  }
}

}  // namespace

namespace {

/// An empty value is a shell variable that was not set, more often than not.
Status check_no_empty_value(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    const bool takes_value = option->get_type_size() != 0;
    const bool of_old_scripts = option->check_lname("scope");
    if (!takes_value || of_old_scripts || option->count() == 0) continue;
    for (const std::string& value : option->results()) {
      if (value.empty()) {
        return Error{
            Cause::invalid_argument,
            option->get_name() + " was given an empty value; leave it out, or give it one"};
      }
    }
  }
  for (const CLI::App* command : app.get_subcommands()) {
    if (auto status = check_no_empty_value(*command); !status) return status;
  }
  return {};
}

}  // namespace

namespace {

/// With what CLI11 leaves out: which word is none of the commands, and which variable it was that
/// gave the value.
std::string explained(const CLI::App& app, const CLI::ParseError& error,
                      const std::vector<std::string>& arguments) {
  std::string text = error.what();
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  const bool lacks = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError);
  if (lacks && app.get_require_subcommand_min() > 0 && app.get_subcommands().empty()) {
    std::vector<std::string> names;
    for (const CLI::App* each : commands)
      if (!each->get_group().empty()) names.push_back(each->get_name());  // users' own
    const std::string known = listed(names);
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      // What follows an option may be its value.
      const bool is_word = !arguments[i].starts_with("-");
      if (is_word && (i == 0 || !arguments[i - 1].starts_with("-")))
        return "'" + arguments[i] + "' is not a command; known: " + known;
    }
    return "no command was given; known: " + known;
  }
  std::vector<const CLI::App*> used{&app};
  for (const CLI::App* command : app.get_subcommands()) used.push_back(command);
  for (const CLI::App* each : used) {
    for (const CLI::Option* option : each->get_options()) {
      const char* value =
          option->get_envname().empty() ? nullptr : std::getenv(option->get_envname().c_str());
      const std::string name = option->get_name();
      const bool given = std::any_of(arguments.begin(), arguments.end(), [&](const auto& word) {
        return word == name || word.starts_with(name + "=");
      });
      if (value != nullptr && *value != '\0' && !given && text.starts_with(name + ":"))
        return text + " (from the environment, " + option->get_envname() + ")";
    }
  }
  return text;
}

bool knows_json(const CLI::App& app) {
  const auto all = app.get_subcommands([](const CLI::App*) { return true; });
  return app.get_option_no_throw("--json") != nullptr ||
         std::any_of(all.begin(), all.end(), [](const CLI::App* command) {
           return command->get_option_no_throw("--json") != nullptr;
         });
}

/// The script that the arguments ask for, before anything else is looked at: what is wrong with the
/// environment would be told each time a shell starts.
std::string wanted_script(const std::vector<std::string>& arguments) {
  const std::string name = "--shell-completion";
  for (auto each = arguments.begin(); each != arguments.end() && *each != "--"; ++each) {
    if (each->starts_with(name + "=")) return completion_script(each->substr(name.size() + 1));
    if (*each == name && each + 1 != arguments.end()) return completion_script(*(each + 1));
  }
  return "";
}

Status show_completion(const CLI::App& app, std::vector<std::string> words,
                       const KnownWords& known) {
  if (words.size() < 3 || words[1] != "--")
    return Error{Cause::invalid_argument, "--complete is for shells: --complete -- WORDS"};
  words.erase(words.begin(), words.begin() + 2);
  std::fputs(completion_text(complete(app, words, known)).c_str(), stdout);
  return {};
}

}  // namespace

int run(CLI::App& app, std::vector<std::string> arguments, const std::function<Status()>& body,
        const Reporting& reporting, const KnownWords& known) {
  Status status;
  const std::string script = wanted_script(arguments);
  std::string shell;  // one that there is no script for is refused as other options are
  app.add_option("--shell-completion", shell,
                 "Print what makes this shell complete the words of SciStream's commands")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  // Known before the arguments are parsed, for the error of arguments that cannot be.
  const auto ours = std::find(arguments.begin(), arguments.end(), "--");
  const bool wants_json = knows_json(app) && std::find(arguments.begin(), ours, "--json") != ours;
  try {
    if (!script.empty()) {
      std::fputs(script.c_str(), stdout);
    } else if (!arguments.empty() && arguments.front() == "--complete") {
      status = show_completion(app, arguments, known);
    } else {
      read_environment_once(app, arguments);
      // CLI11 takes them from the back.
      app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
      status = check_no_empty_value(app);
      if (status) status = body();
    }
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::CallForAllHelp&) {
    std::fputs(app.help("", CLI::AppFormatMode::All).c_str(), stdout);
    return 0;
  } catch (const CLI::CallForVersion& version) {
    std::printf("%s\n", version.what());
    return 0;
  } catch (const CLI::ParseError& error) {
    status = Error{Cause::invalid_argument, explained(app, error, arguments) + "; see --help"};
  } catch (const std::exception& error) {
    status = Error{Cause::failure, error.what()};
  }
  const bool unwritten = std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
  if (status && unwritten) status = Error{Cause::failure, "cannot write to stdout"};
  if (status) return 0;
  if (status.error().message.empty()) return exit_code(status.error().cause);  // reported already
  if (reporting.json || wants_json) {
    const bool compact = reporting.lines != nullptr && *reporting.lines;
    std::printf(
        "%s\n",
        error_document(status.error(), reporting.uid ? *reporting.uid : "", compact).c_str());
  }
  print_error(app.get_name(), status.error());
  return exit_code(status.error().cause);
}

Error already_reported(const Status& failure) { return {failure.error().cause, ""}; }

CLI::Option* add_switch(CLI::App& app, const std::string& names, bool& value,
                        const std::string& description) {
  return app
      .add_option_function<std::string>(
          names,
          [&value, names](const std::string& text) {
            const auto given = parse_switch(text);
            if (!given)
              throw CLI::ValidationError(names, "'" + text + "' is neither True nor False");
            value = *given;
          },
          description)
      ->expected(0, 1)
      ->default_str(value ? "True" : "False")
      ->type_name("[True|False]");
}

Result<std::chrono::milliseconds> parse_duration(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(end, text.data() + text.size());
  const double scale = unit.empty() || unit == "s"    ? 1e3
                       : unit == "ms"                 ? 1
                       : unit == "m" || unit == "min" ? 60e3
                       : unit == "h"                  ? 3600e3
                       : unit == "d"                  ? 86400e3
                                                      : 0;
  constexpr double century = 36500 * 86400e3;
  if (error != std::errc{} || scale == 0 || !(number >= 0)) {
    return Error{Cause::invalid_argument,
                 "'" + text + "' is not a duration such as 500ms, 30, 30s, 5m, 2h or 1d"};
  }
  if (number * scale > century)
    return Error{Cause::invalid_argument, "'" + text + "' is more than a century"};
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(number * scale)));
}

CLI::Option* add_duration(CLI::App& app, const std::string& names, std::chrono::milliseconds& value,
                          const std::string& description) {
  return app
      .add_option_function<std::string>(
          names,
          [&value, names](const std::string& text) {
            const auto duration = parse_duration(text);
            if (!duration) throw CLI::ValidationError(names, duration.error().message);
            value = *duration;
          },
          description)
      ->type_name("DURATION");
}

CLI::Validator within(double least, double most) {
  const auto range = [](double bound) {
    std::ostringstream text;
    text << std::setprecision(std::numeric_limits<double>::digits10) << bound;
    return text.str();
  };
  const std::string bounds = range(least) + " to " + range(most);
  return {[=](const std::string& text) {
            double number = 0;
            const char* const end = text.data() + text.size();
            const auto [rest, error] = std::from_chars(text.data(), end, number);
            const bool good =
                error == std::errc{} && rest == end && number >= least && number <= most;
            return good ? std::string() : "'" + text + "' is not a number from " + bounds;
          },
          "FROM " + bounds};
}

std::string error_document(const Error& error, const std::string& uid, bool compact) {
  nlohmann::json document{{"error",
                           {{"cause", to_string(error.cause)},
                            {"message", error.message},
                            {"exit_code", exit_code(error.cause)}}}};
  if (!uid.empty()) document["uid"] = uid;
  return document.dump(compact ? -1 : 2, ' ', false, nlohmann::json::error_handler_t::replace);
}

void prepare_process() {
  std::signal(SIGPIPE, SIG_IGN);
  // Who ignores it, which exec passes on, cannot wait for children.
  std::signal(SIGCHLD, SIG_DFL);
  ::setenv("GRPC_VERBOSITY", "NONE", 0);
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace scistream::cli

#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace scistream::cli {

/// A word that may stand where a user presses Tab.
struct Candidate {
  std::string word;
  std::string description;  ///< Empty: none.
  bool operator==(const Candidate&) const = default;
};

/// The argument that a value is typed for.
struct Place {
  std::string argument;                      ///< Its name, without dashes.
  std::map<std::string, std::string> given;  ///< Values of the options before it.
};

/// What this user's files know for a place; nothing if they know nothing of such places.
using KnownWords = std::function<std::optional<std::vector<Candidate>>(const Place& place)>;

struct Completion {
  std::vector<Candidate> candidates;
  bool files = false;  ///< Names of files may stand there as well.
};

/// What may stand in place of the last of `words`, which follow the name of the program `app` as
/// the user typed them; that one may be empty or unfinished. Candidates need not begin with it.
Completion complete(const CLI::App& app, const std::vector<std::string>& words,
                    const KnownWords& known = {});

/// As the scripts of `completion_script` read it: `files` or `words`, then a line for each
/// candidate, with its description behind a tab.
std::string completion_text(const Completion& completion);

/// For bash, zsh or fish to read: from then on it completes the words of all four commands. Empty
/// for another shell.
std::string completion_script(const std::string& shell);

}  // namespace scistream::cli

#include "cli/completion.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "cli/command_line.hpp"

namespace scistream::cli {

namespace {

/// The values that the type of an option enumerates, `{tcp,udp}` or `[True|False]`.
std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  for (const std::string_view marks : {"{,}", "[|]"}) {
    const auto begin = type.find(marks[0]);
    const auto end = type.find(marks[2], begin);
    if (begin == std::string::npos || end == std::string::npos) continue;
    std::istringstream listed(type.substr(begin + 1, end - begin - 1));
    std::vector<std::string> choices;
    for (std::string each; std::getline(listed, each, marks[1]);) choices.push_back(each);
    if (choices.size() > 1) return choices;
  }
  return {};
}

bool is_amount(const CLI::Option& option) {
  constexpr std::array amounts{"INT", "UINT", "FLOAT", "DURATION"};
  const std::string type = option.get_type_name();
  return std::any_of(amounts.begin(), amounts.end(),
                     [&type](const char* each) { return type.starts_with(each); });
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }
bool needs_value(const CLI::Option& option) { return option.get_items_expected_min() > 0; }

/// Without dashes; of several the longest.
std::string name_of(const CLI::Option& option) {
  const auto& names = option.get_lnames();
  if (names.empty()) return option.get_name(true);
  return *std::max_element(names.begin(), names.end(), [](const auto& one, const auto& other) {
    return one.size() < other.size();
  });
}

/// A command and those whose options it takes as its own.
std::vector<const CLI::App*> with_outer(const CLI::App& command) {
  std::vector<const CLI::App*> all;
  for (const CLI::App* each = &command; each != nullptr;
       each = each->get_fallthrough() ? each->get_parent() : nullptr)
    all.push_back(each);
  return all;
}

/// Follows the words before the one to complete.
class Reader {
 public:
  explicit Reader(const CLI::App& app) : command_(&app) {}

  void take(const std::string& word) {
    const CLI::Option* const waiting = std::exchange(waiting_, nullptr);
    // What need not have a value is a switch.
    if (waiting != nullptr && (needs_value(*waiting) || parse_switch(word))) {
      given_[name_of(*waiting)] = word;
    } else if (!only_values_ && word == "--") {
      only_values_ = true;
    } else if (!only_values_ && word.starts_with("-") && word.size() > 1) {
      take_option(word);
    } else if (const CLI::App* inner = only_values_ ? nullptr : inner_command(word)) {
      command_ = inner;
      positionals_ = 0;
    } else {
      ++positionals_;
    }
  }

  [[nodiscard]] Completion complete(const std::string& word, const KnownWords& known) const {
    if (waiting_ != nullptr && needs_value(*waiting_)) return values_of(*waiting_, "", known);
    if (!only_values_ && word.starts_with("-")) {
      const auto end = word.find('=');
      if (end == std::string::npos) return {options(), false};
      const CLI::Option* option = option_named(word.substr(0, end));
      return option == nullptr ? Completion{} : values_of(*option, word.substr(0, end + 1), known);
    }
    Completion found;
    bool is_enough = only_values_ || !word.empty();
    if (const CLI::Option* positional = next_positional()) {
      found = values_of(*positional, "", known);
      is_enough |= found.files || !found.candidates.empty();
    } else if (!only_values_ && positionals_ == 0) {
      found.candidates = commands();
      // The only one would be inserted as if it had to be given.
      is_enough |= found.candidates.size() > 1 || command_->get_require_subcommand_min() > 0;
    }
    if (is_enough) return found;
    const auto others = options();
    found.candidates.insert(found.candidates.end(), others.begin(), others.end());
    return found;
  }

 private:
  void take_option(const std::string& word) {
    const auto end = std::min(word.find('='), word.size());
    const CLI::Option* option = option_named(word.substr(0, end));
    if (option == nullptr) return;
    seen_.insert(option);
    if (end < word.size()) {
      given_[name_of(*option)] = word.substr(end + 1);
    } else if (takes_value(*option)) {
      waiting_ = option;
    }
  }

  [[nodiscard]] const CLI::Option* option_named(const std::string& name) const {
    for (const CLI::App* each : with_outer(*command_))
      if (const auto* option = each->get_option_no_throw(dashed(name))) return option;
    return nullptr;
  }

  [[nodiscard]] std::vector<const CLI::App*> inner_commands() const {
    return command_->get_subcommands(
        [](const CLI::App* each) { return !each->get_group().empty(); });
  }

  [[nodiscard]] const CLI::App* inner_command(const std::string& word) const {
    if (positionals_ != 0) return nullptr;
    for (const CLI::App* each : inner_commands())
      if (each->check_name(dashed(word))) return each;
    return nullptr;
  }

  [[nodiscard]] std::vector<Candidate> commands() const {
    std::vector<Candidate> found;
    for (const CLI::App* each : inner_commands())
      found.push_back({each->get_name(), each->get_description()});
    return found;
  }

  /// Those that may still be given.
  [[nodiscard]] std::vector<Candidate> options() const {
    std::vector<Candidate> found;
    std::set<std::string> names;  // an outer command has its own --help
    for (const CLI::App* each : with_outer(*command_)) {
      for (const CLI::Option* option : each->get_options()) {
        const bool again = option->get_items_expected_max() > 1;
        if (option->get_group().empty() || option->get_lnames().empty()) continue;
        if (seen_.contains(option) && !again) continue;
        if (names.insert(name_of(*option)).second)
          found.push_back({"--" + name_of(*option), option->get_description()});
      }
    }
    return found;
  }

  [[nodiscard]] const CLI::Option* next_positional() const {
    std::size_t before = 0;
    for (const CLI::Option* option : command_->get_options()) {
      if (!option->get_positional()) continue;
      if (before++ == positionals_ || option->get_items_expected_max() > 1) return option;
    }
    return nullptr;
  }

  [[nodiscard]] Completion values_of(const CLI::Option& option, const std::string& before,
                                     const KnownWords& known) const {
    Completion found;
    for (const std::string& choice : choices_of(option))
      found.candidates.push_back({before + choice, ""});
    if (!found.candidates.empty() || is_amount(option) || !takes_value(option)) return found;
    const auto words = known ? known({name_of(option), given_}) : std::nullopt;
    if (!words) return {{}, true};
    for (const Candidate& each : *words)
      found.candidates.push_back({before + each.word, each.description});
    return found;
  }

  const CLI::App* command_;
  const CLI::Option* waiting_ = nullptr;  ///< The next word may be its value.
  std::size_t positionals_ = 0;           ///< Of `command_`, so far.
  bool only_values_ = false;              ///< After `--`.
  std::set<const CLI::Option*> seen_;
  std::map<std::string, std::string> given_;
};

/// What a line of the answer can hold.
std::string on_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char each) { return std::iscntrl(each) != 0; }, ' ');
  return text;
}

constexpr const char* for_bash =
    R"sh(# SciStream's commands, completed by bash: eval "$(s2uc --shell-completion bash)"
_scistream() {
  local IFS=$' \t\n' rest=${COMP_LINE:0:COMP_POINT} program=$1 kind='' redirected='' word i
  local -a words=() asked=()
  [[ $program == \~/* ]] && program=$HOME/${program:2}
  # Bash has cut words at = and : too: what no space stands before belongs to the one before.
  for ((i = 0; i <= COMP_CWORD; ++i)); do
    word=${COMP_WORDS[i]}
    if ((i == 0)) || [[ $rest == [[:space:]]* ]]; then
      rest=${rest#"${rest%%[![:space:]]*}"}
      words+=('')
    fi
    ((i == COMP_CWORD)) && word=$rest
    rest=${rest#"$word"}
    words[${#words[@]} - 1]+=$word
  done
  COMPREPLY=()
  for word in "${words[@]:1}"; do
    if [[ $redirected == next ]]; then
      redirected=this
    elif [[ $word =~ ^[0-9\&]*[\<\>] ]]; then
      redirected=this
      [[ $word == *[\<\>\&] ]] && redirected=next
    else
      redirected=''
      asked+=("${word//[\\\"\']/}")
    fi
  done
  if [[ -n $redirected ]]; then
    compopt -o default
    return 0
  fi
  local current=${asked[${#asked[@]} - 1]}
  local cut=${current%"${2//[\\\"\']/}"}
  while IFS=$'\t' read -r word _; do
    if [[ -z $kind ]]; then
      kind=$word
    elif [[ $word == "$current"* ]]; then
      COMPREPLY+=("${word#"$cut"}")
    fi
  done < <("$program" --complete -- "${asked[@]}" 2>/dev/null)
  [[ $kind == files ]] && compopt -o default
  return 0
}
complete -F _scistream s2cs s2uc s2ds appctrl
)sh";

constexpr const char* for_zsh = R"sh(#compdef s2cs s2uc s2ds appctrl
# SciStream's commands, completed by zsh: eval "$(s2uc --shell-completion zsh)", after compinit
_scistream() {
  local line word program=${(Q)words[1]} found=1
  local -a before lines described
  [[ $program == '~/'* ]] && program=$HOME/${program:2}
  (( CURRENT > 2 )) && before=("${(@Q)words[2,CURRENT-1]}")
  lines=("${(@f)$("$program" --complete -- "${before[@]}" "${(Q)PREFIX}" 2>/dev/null)}")
  for line in "${(@)lines[2,-1]}"; do
    word=${line%%$'\t'*}
    described+=("${word//:/\\:}:${line#*$'\t'}")
  done
  (( $#described )) && _describe 'word' described && found=0
  if [[ $lines[1] == files ]]; then
    [[ $PREFIX == --*=* ]] && compset -P '*='
    _files && found=0
  fi
  return found
}
if [[ $funcstack[1] == _scistream ]]; then
  _scistream "$@"
else
  compdef _scistream s2cs s2uc s2ds appctrl
fi
)sh";

constexpr const char* for_fish =
    R"sh(# SciStream's commands, completed by fish: s2uc --shell-completion fish | source
function __scistream_ask
    set -l words (commandline -opc)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -e words[1]
    set -l current (string replace -r '^["\']' '' -- (commandline -ct))
    $program --complete -- $words "$current" 2>/dev/null
end
function __scistream_words
    set -l lines (__scistream_ask)
    test (count $lines) -gt 1; and printf '%s\n' $lines[2..-1]
end
function __scistream_files
    set -l lines (__scistream_ask)
    test "$lines[1]" = files
end
for program in s2cs s2uc s2ds appctrl
    complete -c $program -f -a '(__scistream_words)'
    complete -c $program -n __scistream_files -F
end
)sh";

}  // namespace

Completion complete(const CLI::App& app, const std::vector<std::string>& words,
                    const KnownWords& known) {
  if (words.empty()) return {};
  Reader reader(app);
  std::for_each(words.begin(), words.end() - 1, [&](const auto& word) { reader.take(word); });
  return reader.complete(words.back(), known);
}

std::string completion_text(const Completion& completion) {
  std::string text = completion.files ? "files\n" : "words\n";
  for (const auto& [word, description] : completion.candidates)
    text += on_one_line(word) + "\t" + on_one_line(description) + "\n";
  return text;
}

std::string completion_script(const std::string& shell) {
  return shell == "bash" ? for_bash : shell == "zsh" ? for_zsh : shell == "fish" ? for_fish : "";
}

}  // namespace scistream::cli

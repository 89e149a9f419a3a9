#include "base/toml.hpp"

#include <algorithm>

namespace scistream {

namespace {

Error bad_line(std::size_t line, const std::string& why) {
  return {Cause::invalid_argument, "line " + std::to_string(line) + ": " + why};
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x80; });
}

/// The library takes what some letters beyond ASCII lead to for impossible, and goes on anywhere
/// (found by fuzzing 3.3.0): it gets none.
Result<std::string> without_other_letters(std::string_view text) {
  std::string plain;
  std::size_t line = 0;
  while (!text.empty()) {
    ++line;
    const auto end = std::min(text.find('\n'), text.size() - 1) + 1;
    const std::string_view whole = text.substr(0, end);
    text.remove_prefix(end);
    if (is_ascii(whole)) {
      plain += whole;
      continue;
    }
    const auto first = whole.find_first_not_of(" \t");
    if (first == std::string_view::npos || whole[first] != '#') {
      return bad_line(line,
                      "letters beyond ASCII are written as \\uXXXX, in double quotes (\\u00e4), "
                      "and stand as they are in lines that are comments only");
    }
    if (whole.ends_with('\n')) plain += '\n';
  }
  return plain;
}

}  // namespace

Result<toml::table> parse_toml(std::string_view text) {
  const auto plain = without_other_letters(text);
  if (!plain) return plain.error();
  try {
    return toml::parse(*plain);
  } catch (const toml::parse_error& error) {
    return bad_line(error.source().begin.line, std::string(error.description()));
  }
}

Error bad_toml(const toml::node& where, const std::string& why) {
  return bad_line(where.source().begin.line, why);
}

}  // namespace scistream

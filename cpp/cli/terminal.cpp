#include "cli/terminal.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/log.hpp"

namespace scistream::cli {

namespace {

const char* code_of(Style style) {
  switch (style) {
    case Style::plain: return "";
    case Style::bold: return "\033[1m";
    case Style::red: return "\033[1;31m";
    case Style::green: return "\033[32m";
    case Style::yellow: return "\033[33m";
    case Style::dim: return "\033[2m";
  }
  return "";
}

std::string with_unit(double value, const char* unit) {
  char text[32];
  std::snprintf(text, sizeof text,
                value < 10    ? "%.2f %s"
                : value < 100 ? "%.1f %s"
                              : "%.0f %s",
                value, unit);
  return text;
}

}  // namespace

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

std::string styled(const std::string& text, Style style, int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  if (style == Style::plain || !is_terminal(fd) || (no_color != nullptr && *no_color != '\0'))
    return text;
  return code_of(style) + text + "\033[0m";
}

std::string printable(std::string text) {
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = c == '\n' ? ' ' : '?';
  }
  return text;
}

void print_error(const std::string& program, const Error& error) {
  const std::string name = stderr_is_journal()
                               ? journal_priority(spdlog::level::err)
                               : styled(program + ":", Style::red, STDERR_FILENO) + " ";
  std::fprintf(stderr, "%s%s\n", name.c_str(), printable(error.message).c_str());
}

std::string table(const std::vector<std::vector<std::string>>& rows, int fd) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      line += printable(rows[r][i]);
      if (i + 1 < rows[r].size()) line.append(widths[i] - rows[r][i].size() + 2, ' ');
    }
    text += (r == 0 ? styled(line, Style::bold, fd) : line) + "\n";
  }
  return text;
}

std::string human_bytes(std::uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes < 1'000) return std::to_string(bytes) + " B";
  if (bytes < 1'000'000) return with_unit(value / 1e3, "kB");
  if (bytes < 1'000'000'000) return with_unit(value / 1e6, "MB");
  if (bytes < 1'000'000'000'000) return with_unit(value / 1e9, "GB");
  return with_unit(value / 1e12, "TB");
}

std::string human_duration(std::uint64_t milliseconds) {
  const std::uint64_t seconds = milliseconds / 1000;
  if (seconds < 120) return std::to_string(seconds) + " s";
  if (seconds < 7200) return std::to_string(seconds / 60) + " min";
  if (seconds < 172'800) return std::to_string(seconds / 3600) + " h";
  return std::to_string(seconds / 86'400) + " d";
}

}  // namespace scistream::cli

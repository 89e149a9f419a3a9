#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace scistream::cli {

enum class Style { plain, bold, red, green, yellow, dim };

/// `text` in a style if descriptor `fd` is a terminal that may be coloured (NO_COLOR unset).
std::string styled(const std::string& text, Style style, int fd);

/// True if `fd` is a terminal.
bool is_terminal(int fd);

/// `<program>: <message>` on stderr, the program's name in red on a terminal; the journal, which
/// knows the name, gets the priority instead.
void print_error(const std::string& program, const Error& error);

/// Columns padded to their widest cell, two spaces apart, the first row as header.
std::string table(const std::vector<std::vector<std::string>>& rows, int fd);

/// 1,234 B · 5.68 MB · …, powers of ten.
std::string human_bytes(std::uint64_t bytes);

/// 3 s · 5 min · 2 h · 4 d
std::string human_duration(std::uint64_t milliseconds);

/// What a terminal must not be sent: control characters become '?'.
std::string printable(std::string text);

}  // namespace scistream::cli

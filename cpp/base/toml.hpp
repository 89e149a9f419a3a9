#pragma once

#include <toml++/toml.h>

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace scistream {

/// A TOML document (1.0.0) as people write settings. Letters beyond ASCII may stand in lines that
/// are comments, and elsewhere as `\u00e4` in double quotes. `invalid_argument` says in which line
/// something is wrong.
Result<toml::table> parse_toml(std::string_view text);

/// `invalid_argument`: `line N: ` and what is wrong there.
Error bad_toml(const toml::node& where, const std::string& why);

}  // namespace scistream

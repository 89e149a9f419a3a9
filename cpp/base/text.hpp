#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace scistream {

/// The texts with commas between them.
std::string listed(const std::vector<std::string>& texts);

/// What somebody sent, for a message: one short line of printable ASCII, with `?` for all else.
std::string shown(std::string_view text, std::size_t most = 64);

/// Of this process's environment; empty if it is not set.
std::string environment_variable(const char* name);

/// `1 session`, `2 sessions`.
std::string counted(std::uint64_t number, const std::string& noun);

}  // namespace scistream

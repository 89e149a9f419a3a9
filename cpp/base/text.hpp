#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace scistream {

/// The texts with commas between them.
std::string listed(const std::vector<std::string>& texts);

/// `1 session`, `2 sessions`.
std::string counted(std::uint64_t number, const std::string& noun);

}  // namespace scistream

#pragma once

#include <string>
#include <vector>

namespace scistream {

/// The texts with commas between them.
std::string listed(const std::vector<std::string>& texts);

}  // namespace scistream

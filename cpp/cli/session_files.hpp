#pragma once

#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "client/session_keys.hpp"

namespace scistream::cli {

/// What `--session-file` holds: the id, both control servers and the key files, as JSON, 0600.
Status write_session_file(const std::filesystem::path& path, const std::string& uid,
                          const std::string& prod, const std::string& cons,
                          const client::SessionKeys& keys);

}  // namespace scistream::cli

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace scistream::cli {

/// What a `--req-file` asks for: `{"cmd": "REQ", …}` or `{"cmd": "REL", "uid": …, …}`. What it does
/// not name is left to the command line.
struct ReqFile {
  bool release = false;
  std::optional<std::string> uid;
  std::optional<std::string> prod;
  std::optional<std::string> cons;
  std::optional<std::string> prod_app;
  std::optional<std::string> transport;
  std::optional<int> num_conn;
  std::optional<long long> rate_mbps;
};

/// `invalid_argument` names the member that is wrong.
Result<ReqFile> parse_req_file(std::string_view text);

}  // namespace scistream::cli

#include "cli/session_files.hpp"

#include <nlohmann/json.hpp>

#include "base/file.hpp"

namespace scistream::cli {

Status write_session_file(const std::filesystem::path& path, const std::string& uid,
                          const std::string& prod, const std::string& cons,
                          const client::SessionKeys& keys) {
  nlohmann::json document{{"uid", uid}, {"prod", prod}, {"cons", cons}};
  if (!keys.prod.empty()) {
    document["prod_key_file"] = std::filesystem::absolute(keys.prod_file).string();
    document["cons_key_file"] = std::filesystem::absolute(keys.cons_file).string();
  }
  return write_private_file(
      path, document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace scistream::cli

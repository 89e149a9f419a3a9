#include "cli/session_files.hpp"

#include <nlohmann/json.hpp>

#include "base/file.hpp"

namespace scistream::cli {

namespace {

bool is_session_file(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  return json.is_object() && json.contains("uid") && json.contains("prod") && json.contains("cons");
}

}  // namespace

Result<SessionFile> SessionFile::write(const std::filesystem::path& name, const std::string& uid,
                                       const std::string& prod, const std::string& cons,
                                       const client::SessionKeys& keys) {
  std::error_code unknown;
  auto path = name;
  // To where a link leads, be it there or not.
  for (int links = 0; std::filesystem::is_symlink(path, unknown) && links < 40; ++links)
    path = path.parent_path() / std::filesystem::read_symlink(path, unknown);
  std::optional<std::string> before;
  if (auto present = read_file(path)) {
    if (!present->empty() && !is_session_file(*present)) {
      return Error{
          Cause::invalid_argument,
          "'" + name.string() + "' is there and no session file: give --session-file another name"};
    }
    before = std::move(*present);
  } else if (present.error().cause != Cause::not_found) {
    return present.error();
  }
  nlohmann::json document{{"uid", uid}, {"prod", prod}, {"cons", cons}};
  if (!keys.prod.empty()) {
    document["prod_key_file"] = std::filesystem::absolute(keys.prod_file).string();
    document["cons_key_file"] = std::filesystem::absolute(keys.cons_file).string();
  }
  const std::string text =
      document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  if (auto status = write_private_file(path, text); !status) return status.error();
  return SessionFile(path, text, std::move(before));
}

void SessionFile::undo() const {
  const auto now = read_file(path_);
  if (!now || *now != text_) return;
  std::error_code ignored;
  if (before_) {
    (void)write_private_file(path_, *before_);
  } else {
    std::filesystem::remove(path_, ignored);
  }
}

}  // namespace scistream::cli

#include "client/session_keys.hpp"

#include "base/file.hpp"
#include "client/trust.hpp"

namespace scistream::client {

namespace {

std::filesystem::path key_path(const std::filesystem::path& state_directory, const std::string& uid,
                               const char* role) {
  return state_directory / "keys" / (uid + "." + role + ".key");
}

/// `made` becomes true if the file was not there before.
Result<Secret> keep_or_make(const std::filesystem::path& path, bool& made) {
  Secret key = Secret::random(key_size);
  const Status created = create_private_file(path, key.hex() + "\n");
  if (!created && created.error().cause == Cause::already_exists) return read_key_file(path);
  if (!created) return created.error();
  made = true;
  return key;
}

}  // namespace

Result<SessionKeys> make_session_keys(const std::filesystem::path& state_directory,
                                      const std::string& uid) {
  if (auto status = make_private_directory(state_directory / "keys"); !status)
    return status.error();
  SessionKeys keys;
  keys.prod_file = key_path(state_directory, uid, "prod");
  keys.cons_file = key_path(state_directory, uid, "cons");
  for (const auto& [path, key] :
       {std::pair{&keys.prod_file, &keys.prod}, {&keys.cons_file, &keys.cons}}) {
    auto made = keep_or_make(*path, keys.made);
    if (!made) return made.error();
    *key = std::move(*made);
  }
  return keys;
}

std::filesystem::path data_key_path(const std::filesystem::path& state_directory,
                                    const std::string& uid) {
  return key_path(state_directory, uid, "data");
}

Result<Secret> make_data_key(const std::filesystem::path& path, bool& made) {
  if (const auto folder = path.parent_path(); folder.filename() == "keys") {
    if (auto status = make_private_directory(folder); !status) return status.error();
  }
  return keep_or_make(path, made);
}

void forget_session_keys(const std::filesystem::path& state_directory, const std::string& uid) {
  std::error_code ignored;
  std::filesystem::remove(key_path(state_directory, uid, "prod"), ignored);
  std::filesystem::remove(key_path(state_directory, uid, "cons"), ignored);
  std::filesystem::remove(key_path(state_directory, uid, "data"), ignored);
}

}  // namespace scistream::client

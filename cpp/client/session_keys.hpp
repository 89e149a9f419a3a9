#pragma once

#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "base/secret.hpp"

namespace scistream::client {

/// The two application keys of a session and the files they are in.
struct SessionKeys {
  Secret prod;
  Secret cons;
  std::filesystem::path prod_file;
  std::filesystem::path cons_file;
  bool made = false;  ///< They were not there before.
};

/// `keys/<uid>.prod.key` and `keys/<uid>.cons.key` of the state folder, 64 hexadecimal digits each,
/// mode 0600. Keys that are there already (the same request repeated) are kept.
Result<SessionKeys> make_session_keys(const std::filesystem::path& state_directory,
                                      const std::string& uid);
/// `keys/<uid>.data.key`: of an encrypted session whose halves are requested one by one.
std::filesystem::path data_key_path(const std::filesystem::path& state_directory,
                                    const std::string& uid);
/// The key of this file, made if there is none, which `made` then says.
Result<Secret> make_data_key(const std::filesystem::path& path, bool& made);
/// All of a session that has ended.
void forget_session_keys(const std::filesystem::path& state_directory, const std::string& uid);

}  // namespace scistream::client

#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace scistream {

/// A folder that is gone with the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string made = (std::filesystem::temp_directory_path() / "scistream-XXXXXX").string();
    if (::mkdtemp(made.data()) != nullptr) path_ = made;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace scistream

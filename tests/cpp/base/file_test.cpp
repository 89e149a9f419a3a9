#include "base/file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <future>

#include "support/temporary_directory.hpp"

namespace scistream {
namespace {

class FileTest : public ::testing::Test {
 protected:
  static unsigned mode_of(const std::filesystem::path& path) {
    struct stat info{};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return info.st_mode & 0777U;
  }

  const TemporaryDirectory folder;
  const std::filesystem::path& directory = folder.path();
};

TEST_F(FileTest, PrivateFilesAreReadableByTheirOwnerAlone) {
  const auto path = directory / "key";
  ASSERT_TRUE(write_private_file(path, "one").ok());
  EXPECT_EQ(mode_of(path), 0600U);
  ASSERT_TRUE(write_private_file(path, "two").ok());
  EXPECT_EQ(*read_file(path), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory), {}), 1);
}

TEST_F(FileTest, OfSeveralThatCreateAFileOneSucceeds) {
  const auto path = directory / "key";
  ASSERT_TRUE(create_private_file(path, "one").ok());
  EXPECT_EQ(mode_of(path), 0600U);
  EXPECT_EQ(create_private_file(path, "two").error().cause, Cause::already_exists);
  EXPECT_EQ(*read_file(path), "one");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory), {}), 1);
}

TEST_F(FileTest, ErrorsNameThePath) {
  const auto missing = read_file(directory / "missing");
  EXPECT_EQ(missing.error().cause, Cause::not_found);
  EXPECT_NE(missing.error().message.find("missing"), std::string::npos);
  EXPECT_FALSE(write_private_file(directory / "no" / "such", "x").ok());
  ASSERT_TRUE(write_private_file(directory / "large", std::string(100, 'x')).ok());
  EXPECT_EQ(read_file(directory / "large", 99).error().cause, Cause::invalid_argument);
}

TEST_F(FileTest, SecretsAreReadFromFilesOfTheirOwnerAlone) {
  const auto path = directory / "key";
  ASSERT_TRUE(write_private_file(path, "w0rd \r\n").ok());
  EXPECT_EQ(read_secret_file(path, "key file")->view(), "w0rd");
  for (const char* none : {"", "\n", "two words", "tab\tin", "\xc3\xa9"}) {
    ASSERT_TRUE(write_private_file(path, none).ok());
    EXPECT_EQ(read_secret_file(path, "key file").error().cause, Cause::invalid_argument) << none;
  }
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  const auto open = read_secret_file(path, "key file");
  EXPECT_EQ(open.error().cause, Cause::permission_denied);
  EXPECT_NE(open.error().message.find("the key file '" + path.string()), std::string::npos);
  EXPECT_EQ(read_secret_file(directory, "key file").error().cause, Cause::invalid_argument);
  EXPECT_EQ(read_secret_file("/dev/null", "key file").error().cause, Cause::invalid_argument);
  EXPECT_EQ(read_secret_file(directory / "none", "key file").error().cause, Cause::not_found);
}

TEST_F(FileTest, APipeIsWaitedForAndNotForEver) {
  const auto path = directory / "pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const auto silent = read_private_file(path, "key file", 100, std::chrono::milliseconds(20));
  EXPECT_EQ(silent.error().cause, Cause::timeout);
  // Opening it for writing waits for its reader; what is written comes in two parts.
  auto writer = std::async(std::launch::async, [&path] {
    std::ofstream pipe(path);
    pipe << "w0" << std::flush << "rd\n";
  });
  EXPECT_EQ(read_secret_file(path, "key file")->view(), "w0rd");
  writer.get();
  auto much =
      std::async(std::launch::async, [&path] { std::ofstream(path) << std::string(50'000, 'x'); });
  EXPECT_EQ(read_private_file(path, "key file", 100).error().cause, Cause::invalid_argument);
  much.get();
}

TEST_F(FileTest, PrivateDirectoriesAreTightened) {
  const auto path = directory / "a" / "b";
  ASSERT_TRUE(make_private_directory(path).ok());
  EXPECT_EQ(mode_of(path), 0700U);
  ASSERT_EQ(::chmod(path.c_str(), 0755), 0);
  ASSERT_TRUE(make_private_directory(path).ok());
  EXPECT_EQ(mode_of(path), 0700U);
}

TEST_F(FileTest, AFileOrALinkIsNoPrivateDirectory) {
  std::ofstream(directory / "file") << "x";
  EXPECT_FALSE(make_private_directory(directory / "file").ok());
  std::filesystem::create_directory_symlink(directory, directory / "link");
  EXPECT_FALSE(make_private_directory(directory / "link").ok());
}

// Protocol: state-folder-locked
TEST_F(FileTest, ALockNamesItsHolderAndEndsWithIt) {
  {
    const auto lock = DirectoryLock::take(directory, "s2cs");
    ASSERT_TRUE(lock.ok());
    const auto second = DirectoryLock::take(directory, "s2cs");
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().cause, Cause::already_exists);
    EXPECT_NE(second.error().message.find("pid " + std::to_string(::getpid())), std::string::npos);
    EXPECT_TRUE(DirectoryLock::take(directory, "s2ds").ok());
  }
  EXPECT_TRUE(DirectoryLock::take(directory, "s2cs").ok());
}

}  // namespace
}  // namespace scistream

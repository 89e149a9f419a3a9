#include "net/run_program.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <string>

#include "net/fd.hpp"
#include "support/temporary_directory.hpp"

namespace scistream::net {
namespace {

using std::chrono::seconds;

Result<ProgramEnd> shell(const std::string& script, std::string_view input = {},
                         std::chrono::milliseconds limit = seconds(20)) {
  return run_program({"sh", "-c", script}, Secret(input), limit);
}

TEST(RunProgram, SaysWhatItSaidAndHowItEnded) {
  const auto end = shell("cat; echo trouble >&2; exit 3", "from us\n");
  ASSERT_TRUE(end.ok()) << end.error().message;
  EXPECT_EQ(end->output.view(), "from us\n");
  EXPECT_EQ(end->errors.view(), "trouble\n");
  EXPECT_EQ(WEXITSTATUS(end->status), 3);
}

TEST(RunProgram, MuchGoesInAndOut) {
  const std::string much(500'000, 'x');
  EXPECT_EQ(shell("cat", much)->output.view(), much);
  // Who does not want to hear it all is not forced to, and we live on.
  EXPECT_EQ(shell("exec <&-; echo done", much)->output.view(), "done\n");
}

TEST(RunProgram, EndsWhatDoesNotEnd) {
  EXPECT_EQ(shell("sleep 600", {}, std::chrono::milliseconds(50)).error().cause, Cause::timeout);
  const auto silent = shell("exec >&- 2>&-; sleep 600", {}, std::chrono::milliseconds(50));
  EXPECT_EQ(silent.error().cause, Cause::timeout);
  const auto flood = shell("cat /dev/zero");
  EXPECT_EQ(flood.error().cause, Cause::exhausted);
}

TEST(RunProgram, ThatIsNotThereIsSaid) {
  const auto none = run_program({"no-such-program"}, Secret(), seconds(20));
  EXPECT_EQ(none.error().cause, Cause::not_found);
  EXPECT_NE(none.error().message.find("no-such-program"), std::string::npos);
}

TEST(RunProgram, GivesNoDescriptorOfOursAway) {
  const TemporaryDirectory folder;
  const Fd inherited(::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY));  // no O_CLOEXEC
  ASSERT_TRUE(static_cast<bool>(inherited));
  EXPECT_EQ(shell("ls -l /proc/self/fd | grep -c " + folder.path().string())->output.view(), "0\n");
}

}  // namespace
}  // namespace scistream::net

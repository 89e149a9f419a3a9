#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "net/process.hpp"

namespace scistream::net {

/// What a program is started with.
struct ChildPlan {
  std::vector<std::string> arguments;    ///< The first is the path of the program.
  std::vector<std::string> environment;  ///< `NAME=value`, all of it.
  /// Set to the child's own number, if not empty (sd_listen_fds(3) wants it).
  std::string pid_variable;
  std::filesystem::path folder;  ///< It runs there.
  std::vector<int> descriptors;  ///< It has these as 3, 4, …, and none of ours but them.
  /// Sent to it when the thread that started it ends, by whatever death.
  int farewell = 15;  // SIGTERM
};

/// A program that runs beside this one, with a group of its own and its stdout and stderr joined.
/// Its lines and its end come on the context it was started on; it is to be used from that thread
/// alone. The context keeps it until it has ended, and kills it if it is destroyed before; nobody
/// may keep it for longer than that.
class Child : public std::enable_shared_from_this<Child> {
 public:
  using Line = std::function<void(std::string_view)>;
  /// What waitpid(2) says of it. No line comes after this.
  using Ended = std::function<void(int status)>;

  /// Must run on a thread that lives as long as the child may. `not_found` names a program that is
  /// not there; `permission_denied` one that cannot be run.
  static Result<std::shared_ptr<Child>> start(boost::asio::io_context& context,
                                              const ChildPlan& plan, Line line, Ended ended);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  [[nodiscard]] pid_t pid() const noexcept { return process_.pid(); }
  /// Tells it from any other process (process_identity).
  [[nodiscard]] const std::string& identity() const noexcept { return identity_; }
  void signal(int number) const noexcept { process_.signal(number); }
  /// SIGKILL, to all of its group.
  void kill() const noexcept;
  /// Neither line nor end comes any more.
  void forget();

 private:
  Child(boost::asio::io_context& context, Process process, Fd output, Line line, Ended ended);
  void wait_for_output();
  void wait_for_end();
  /// Tells the lines that have come; whether there may be more at once.
  bool take_output();
  void finish();

  Process process_;
  std::string identity_;
  boost::asio::posix::stream_descriptor output_;
  boost::asio::posix::stream_descriptor end_;
  std::string unfinished_;  ///< The line that is still coming.
  Line line_;
  Ended ended_;
  bool has_ended_ = false;
};

/// How a child ended, in words.
std::string how_it_ended(int status);

}  // namespace scistream::net

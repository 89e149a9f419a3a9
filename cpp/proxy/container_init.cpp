// The first process of a container that forwards for a data server.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/write.hpp>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/child.hpp"
#include "proxy/container.hpp"
#include "proxy/handover.hpp"

namespace scistream::proxy {

namespace {

using boost::asio::local::stream_protocol;
using boost::system::error_code;

void say(int to, std::string_view line) {
  const std::string whole = std::string(line) + "\n";
  // Who does not read it loses it.
  (void)!::write(to, whole.data(), whole.size());
}

int exit_code_of(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

int run_as_first_process(const std::filesystem::path& folder,
                         const std::vector<std::string>& arguments) {
  boost::asio::io_context context;
  const net::Fd place(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place) return cannot_contain(errno_error("cannot use '" + folder.string() + "'", errno));
  stream_protocol::socket connection(context);
  error_code failed;
  connection.connect(stream_protocol::endpoint(handover_path(place)), failed);
  if (failed)
    return cannot_contain(
        {Cause::unavailable, "who started this container is gone: " + failed.message()});
  auto handed = take_over(connection.native_handle());
  if (!handed) return cannot_contain(handed.error());

  net::ChildPlan plan;
  plan.arguments = arguments;
  plan.folder = folder;
  plan.farewell = SIGKILL;
  for (const net::Fd& each : handed->descriptors) plan.descriptors.push_back(each.get());
  for (char** entry = environ; *entry != nullptr; ++entry) {
    plan.environment.emplace_back(*entry);
    if (std::string_view(*entry).starts_with("LISTEN_FDS=")) plan.pid_variable = "LISTEN_PID";
  }
  int code = contained_exit::killed;
  const auto child = net::Child::start(
      context, plan,
      [&](std::string_view line) {
        say(handed->output.get(), line);
        say(STDOUT_FILENO, line);  // for the engine's log
      },
      [&](int status) {
        code = exit_code_of(status);
        context.stop();
      });
  if (!child) return cannot_contain(child.error());
  handed->descriptors.clear();  // the program's alone now

  std::uint8_t number = 0;
  const std::function<void()> listen = [&] {
    boost::asio::async_read(connection, boost::asio::buffer(&number, 1),
                            [&](error_code gone, std::size_t) {
                              // Nobody is left to serve.
                              if (gone) return (*child)->kill();
                              (*child)->signal(number);
                              listen();
                            });
  };
  listen();
  // From the engine, which may be asked to stop it by others.
  boost::asio::signal_set told(context, SIGTERM, SIGINT);
  told.async_wait([&](error_code ec, int which) {
    if (!ec) (*child)->signal(which);
  });
  context.run();
  const auto byte = static_cast<std::uint8_t>(code);
  error_code ignored;  // nobody may be left to hear it
  boost::asio::write(connection, boost::asio::buffer(&byte, 1), ignored);
  // As a first process it inherits whoever loses its parent.
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
  return code;
}

}  // namespace scistream::proxy

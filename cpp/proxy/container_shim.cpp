// The process beside a data server that stands for a program in a container.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "proxy/container.hpp"
#include "proxy/handover.hpp"
#include "proxy/program.hpp"

namespace scistream::proxy {

namespace {

using boost::asio::local::stream_protocol;
using boost::system::error_code;

using contained_exit::killed;
/// That the engine may take to tell of an end that is known already.
constexpr std::chrono::seconds afterwards{2};

class Shim {
 public:
  Shim(DockerEngine engine, const ContainerPlan& plan, int descriptors)
      : engine_(std::move(engine)),
        plan_(plan),
        acceptor_(context_),
        connection_(context_),
        signals_(context_, SIGTERM, SIGINT, SIGHUP),
        too_late_(context_) {
    for (int i = 0; i < descriptors; ++i) descriptors_.push_back(first_descriptor + i);
    for (const int more : {SIGQUIT, SIGUSR1, SIGUSR2}) signals_.add(more);
  }

  int run() {
    if (Status listening = listen(); !listening) return cannot_contain(listening.error());
    const auto id = engine_.create(container_name(plan_), describe(plan_));
    if (!id) return cannot_contain(id.error());
    engine_.async_wait(
        context_, *id,
        [this, &id] {
          // Nobody wants it any more.
          if (std::find(waiting_.begin(), waiting_.end(), SIGTERM) != waiting_.end())
            return end(killed);
          if (const Status started = engine_.start(*id); !started)
            end(cannot_contain(started.error()));
        },
        [this](const Result<int>& ended) {
          if (ended) return end(*ended);
          std::fprintf(stderr, "[container] %s\n", ended.error().message.c_str());
          // Where the engine goes and its containers stay, the end of the connection tells.
          if (!is_there_) end(killed);
        });
    accept();
    pass_signals_on();
    context_.run();
    // One that has run goes by itself.
    if (!is_there_) (void)engine_.remove(*id);
    ::unlink(handover_path(folder_).c_str());
    return ended_.value_or(killed);
  }

 private:
  Status listen() {
    folder_ = net::Fd(::open(plan_.folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder_) return errno_error("cannot use '" + plan_.folder.string() + "'", errno);
    const std::string path = handover_path(folder_);
    ::unlink(path.c_str());
    error_code failed;
    acceptor_.open(stream_protocol(), failed);
    if (!failed) acceptor_.bind(stream_protocol::endpoint(path), failed);
    if (!failed) acceptor_.listen(1, failed);
    if (!failed) return {};
    return Error{Cause::unavailable,
                 "cannot listen in '" + plan_.folder.string() + "': " + failed.message()};
  }

  void accept() {
    acceptor_.async_accept(connection_, [this](error_code ec) {
      if (ec) return;
      connection_.native_non_blocking(false, ec);
      if (const Status sent = hand_over(connection_.native_handle(), STDOUT_FILENO, descriptors_);
          !sent)
        return end(cannot_contain(sent.error()));
      // The program has them: where it closes one, nobody is to hold it open.
      for (const int each : descriptors_) ::close(each);
      for (const int each : waiting_) send(each);
      is_there_ = true;
      watch();
    });
  }

  /// The first process in the container says what the program has ended with, long before the
  /// engine knows. One that was killed says nothing, and is gone when the container is.
  void watch() {
    boost::asio::async_read(connection_, boost::asio::buffer(&code_, 1),
                            [this](error_code gone, std::size_t) {
                              const int code = gone ? killed : code_;
                              if (!gone && !is_told_to_end_) return end(code);
                              // Who ordered an end wants the container gone, too.
                              too_late_.expires_after(afterwards);
                              too_late_.async_wait([this, code](error_code ec) {
                                if (!ec) end(code);
                              });
                            });
  }

  void pass_signals_on() {
    signals_.async_wait([this](error_code ec, int number) {
      if (ec) return;
      is_told_to_end_ = is_told_to_end_ || number != SIGHUP;
      if (is_there_) {
        send(number);
      } else {
        waiting_.push_back(number);
      }
      pass_signals_on();
    });
  }

  void send(int number) {
    const auto byte = static_cast<std::uint8_t>(number);
    error_code gone;
    boost::asio::write(connection_, boost::asio::buffer(&byte, 1), gone);
  }

  void end(int code) {
    if (ended_) return;
    ended_ = code;
    context_.stop();
  }

  const DockerEngine engine_;
  const ContainerPlan& plan_;
  std::vector<int> descriptors_;
  net::Fd folder_;
  boost::asio::io_context context_;
  stream_protocol::acceptor acceptor_;
  stream_protocol::socket connection_;  ///< With the first process in the container.
  boost::asio::signal_set signals_;
  boost::asio::steady_timer too_late_;
  bool is_there_ = false;
  bool is_told_to_end_ = false;
  std::vector<int> waiting_;  ///< Signals for who is not there yet.
  std::uint8_t code_ = 0;
  std::optional<int> ended_;
};

}  // namespace

int run_in_container(const ContainerPlan& plan, int descriptors) {
  auto engine = engine_of(plan.options);
  if (!engine) return cannot_contain(engine.error());
  return Shim(std::move(*engine), plan, descriptors).run();
}

}  // namespace scistream::proxy

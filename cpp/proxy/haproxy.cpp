#include "proxy/haproxy.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <sstream>
#include <utility>

#include "base/file.hpp"
#include "net/fd.hpp"
#include "proxy/haproxy_answers.hpp"
#include "proxy/runtime_socket.hpp"

namespace scistream::proxy {

namespace {

using dataserver::Callback;
using dataserver::Counters;
using std::chrono::steady_clock;

constexpr const char* configuration = "haproxy.cfg";
constexpr const char* socket_name = "runtime.sock";
constexpr std::chrono::seconds patience{5};
constexpr std::chrono::seconds search_pause{1};
constexpr std::chrono::milliseconds search_pause_for_each{1};
/// A connection that nobody can take the rest of, and that has not moved for so long, is taken for
/// lost: whoever pauses for longer on one whose other application has gone loses that rest.
constexpr std::chrono::seconds time_to_move{5};

/// A connection that has bytes for a side that has gone.
struct Stuck {
  Moved moved;
  steady_clock::time_point since;  ///< It has moved no more.
};

class HaproxySteering final : public Steering,
                              public std::enable_shared_from_this<HaproxySteering> {
 public:
  HaproxySteering(const Site& site, std::string program)
      : context_(site.context), sockets_(site.sockets), program_(std::move(program)) {}

  Result<net::ChildPlan> prepare(const Work& work) override {
    std::ostringstream text;
    text << "global\n"
            "  log stdout format raw daemon info\n"
            "  stats socket unix@"
         << socket_name
         << " mode 600 level admin\n"
            "  fd-hard-limit 65536\n"
            "  tune.bufsize 131072\n"
            // Else HAProxy 2.6 sometimes takes the end of one direction for that of both and drops
            // what it has not read: the receiver sees an end in order, and bytes are missing.
            "  expose-experimental-directives\n"
            "  tune.fd.edge-triggered on\n"
            "defaults\n"
            "  mode tcp\n"
            "  log global\n"
            "  option tcplog\n"
            // Counters of connections that live, too.
            "  option contstats\n"
            // Without splice, with which it drops the end of a direction more often. A target that
            // is not there yet is dialled again, once a second.
            "  retries 30\n"
            "  timeout connect 5s\n"
            // Streams may be quiet for as long as they like.
            "  timeout client 0\n"
            "  timeout server 0\n"
            // Whose host has vanished is gone after two minutes.
            "  option srvtcpka\n"
            "  srvtcpka-idle 60s\n"
            "  srvtcpka-intvl 10s\n"
            "  srvtcpka-cnt 6\n";
    for (std::size_t i = 0; i < work.listeners.size(); ++i) {
      text << "listen " << i << "\n  bind fd@" << first_descriptor + static_cast<int>(i)
           << (work.is_announced ? " accept-proxy" : "") << "\n  server target "
           << to_string(work.targets[i]) << (work.announces ? " send-proxy-v2" : "") << "\n";
    }
    if (Status written = write_private_file(work.folder / configuration, text.str()); !written)
      return written.error();
    folder_ =
        std::make_shared<net::Fd>(::open(work.folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    net::ChildPlan plan;
    listeners_ = work.listeners;
    since_ = std::chrono::steady_clock::now();
    plan.arguments = {program_, "-db", "-f", configuration};
    plan.folder = work.folder;
    return plan;
  }

  bool take(std::string_view line) override {
    return line.starts_with("[ALERT]") || line.starts_with("[EMERG]");
  }

  void wait_ready(const std::shared_ptr<net::Child>& /*child*/, std::chrono::seconds limit,
                  Callback<void> done) override {
    ask("show version", limit, [done = std::move(done)](const Result<std::string>& answer) {
      done(answer ? Status() : Status(answer.error()));
    });
  }

  void retarget(const Work& work, const std::shared_ptr<net::Child>& /*child*/,
                Callback<void> done) override {
    std::string commands;
    for (std::size_t i = 0; i < work.targets.size(); ++i) {
      commands += (i == 0 ? "" : "; ") + ("set server " + std::to_string(i)) + "/target addr " +
                  work.targets[i].host + " port " + std::to_string(work.targets[i].port);
    }
    ask(commands, patience, [done = std::move(done)](const Result<std::string>& answer) {
      if (!answer) return done(answer.error());
      if (answer->empty())
        return done(Error{Cause::unavailable, "HAProxy does not answer to its new targets"});
      // Only what goes wrong is not about an address that is, or need not be, changed.
      std::istringstream lines(*answer);
      for (std::string line; std::getline(lines, line);) {
        if (!line.empty() && line.find("chang") == std::string::npos)
          return done(Error{Cause::unavailable, "HAProxy refuses its new targets: " + line});
      }
      done({});
    });
  }

  void read(Callback<Reading> done) override {
    // Without the lines of each target.
    ask("show stat -1 3 -1", patience,
        [weak = weak_from_this(), done = std::move(done)](const Result<std::string>& answer) {
          const auto counters = answer ? counters_in(*answer) : Result<Counters>(answer.error());
          const auto self = weak.lock();
          if (!counters || !self) {
            return done(counters ? Error{Cause::cancelled, "it has been replaced"}
                                 : counters.error());
          }
          auto live = connections_at(self->listeners_, *self->sockets_, self->since_);
          if (!live) return done(live.error());
          const auto active = counters->connections_active;
          done(Reading{*counters, std::move(*live)});
          if (!self->idle_) return;
          if (active == 0) return self->idle_();
          self->look_for_stuck(active);
        });
  }

  void drain(const Work& /*work*/, const std::shared_ptr<net::Child>& /*child*/,
             const std::vector<int>& listeners, std::function<void()> idle) override {
    // Told to end, it would neither count nor answer any more. Without listeners it goes on as it
    // is: it takes them for paused.
    for (const int each : listeners) ::shutdown(each, SHUT_RDWR);
    idle_ = std::move(idle);
  }

 private:
  /// Where an application goes with data under way both ways, HAProxy keeps what came from it until
  /// the other side has taken it, and reads no more of what that side sends. If the program there
  /// does the same, as one like it does, neither ever ends; nor does a drain, but for this.
  void look_for_stuck(std::uint64_t connections) {
    if (searches_ || steady_clock::now() < next_search_) return;
    searches_ = true;
    ask("show sess all", patience,
        [weak = weak_from_this(), connections](const Result<std::string>& answer) {
          const auto self = weak.lock();
          if (!self) return;
          self->searches_ = false;
          // The more there are, the longer it takes to tell them.
          self->next_search_ =
              steady_clock::now() + search_pause + connections * search_pause_for_each;
          const auto sessions = answer ? sessions_in(*answer) : Result<Sessions>(answer.error());
          if (sessions) self->take_stuck(*sessions);
        });
  }

  void take_stuck(const Sessions& sessions) {
    const auto now = steady_clock::now();
    std::map<std::string, Stuck> still;
    std::size_t lost = 0;
    for (const auto& [name, moved] : sessions.stuck) {
      const auto before = stuck_.find(name);
      const bool moves = before == stuck_.end() || before->second.moved != moved;
      const auto since = moves ? now : before->second.since;
      still[name] = {moved, since};
      if (now - since >= time_to_move) ++lost;
    }
    stuck_ = std::move(still);
    if (lost == sessions.count) idle_();
  }

  void ask(const std::string& command, std::chrono::seconds limit, Callback<std::string> done) {
    // By way of the folder: its own path may be longer than a socket's may.
    const std::string path = "/proc/self/fd/" + std::to_string(folder_->get()) + "/" + socket_name;
    ask_runtime(context_, path, command + "\n", limit, weak_from_this(),
                [keep = folder_, done = std::move(done)](Result<std::string> answer) {
                  done(std::move(answer));
                });
  }

  boost::asio::io_context& context_;
  const std::shared_ptr<SocketTable> sockets_;
  const std::string program_;
  std::vector<Endpoint> listeners_;
  SocketTable::Time since_;  ///< It runs.
  std::shared_ptr<net::Fd> folder_;
  std::function<void()> idle_;  ///< While it drains.
  bool searches_ = false;
  steady_clock::time_point next_search_;
  std::map<std::string, Stuck> stuck_;
};

}  // namespace

std::shared_ptr<Steering> steer_haproxy(const Site& site, std::string program) {
  return std::make_shared<HaproxySteering>(site, std::move(program));
}

}  // namespace scistream::proxy

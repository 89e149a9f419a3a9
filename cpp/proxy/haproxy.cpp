#include "proxy/haproxy.hpp"

#include <fcntl.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
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
constexpr std::chrono::milliseconds look_period{100};
constexpr std::chrono::seconds search_period{1};
/// Most that a connection costs of such a search.
constexpr std::chrono::milliseconds time_to_tell_one{1};
/// After which what has not moved never will.
constexpr std::chrono::seconds time_to_move{5};

/// What a connection is stuck with.
struct Stuck {
  std::string moved;  ///< Through it, so far.
  steady_clock::time_point since;
};

class HaproxySteering final : public Steering,
                              public std::enable_shared_from_this<HaproxySteering> {
 public:
  HaproxySteering(const Site& site, std::string program)
      : context_(site.context),
        sockets_(site.sockets),
        program_(std::move(program)),
        next_look_(site.context) {}

  Result<net::ChildPlan> prepare(const Work& work) override {
    std::ostringstream text;
    text << "global\n"
            "  log stdout format raw daemon info\n"
            "  stats socket unix@"
         << socket_name
         << " mode 600 level admin\n"
            "  fd-hard-limit 65536\n"
            "  tune.bufsize 131072\n"
            "defaults\n"
            "  mode tcp\n"
            "  log global\n"
            "  option tcplog\n"
            // Counters of connections that live, too.
            "  option contstats\n"
            // Without splice: with it HAProxy 2.6 loses the end of one direction when the other
            // ends. A target that is not there yet is dialled again, once a second.
            "  retries 30\n"
            "  timeout connect 5s\n"
            // Streams may be quiet for as long as they like.
            "  timeout client 0\n"
            "  timeout server 0\n";
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

  [[nodiscard]] bool reads_afterwards() const override { return is_over_; }

  void read(Callback<Reading> done) override {
    if (is_over_) return done(Reading{last_, {}});
    ask("show stat", patience,
        [listeners = listeners_, sockets = sockets_, since = since_,
         done = std::move(done)](const Result<std::string>& answer) {
          if (!answer) return done(answer.error());
          auto live = connections_at(listeners, *sockets, since);
          if (!live) return done(live.error());
          done(Reading{counters_in(*answer), std::move(*live)});
        });
  }

  void drain(const Work& /*work*/, const std::shared_ptr<net::Child>& child) override {
    // Told to end, it would count no more.
    draining_ = child;
    look_later();
  }

 private:
  void look_later() {
    next_look_.expires_after(look_period);
    next_look_.async_wait([weak = weak_from_this()](const boost::system::error_code& ec) {
      const auto self = weak.lock();
      if (!ec && self) self->look();
    });
  }

  /// Whether its last connection has ended, while it drains.
  void look() {
    ask("show stat", patience, [weak = weak_from_this()](const Result<std::string>& answer) {
      const auto self = weak.lock();
      if (!self) return;
      self->look_later();
      if (!answer) return;
      self->last_ = counters_in(*answer);
      if (self->last_.connections_active == 0) return self->finish();
      self->look_for_stuck();
    });
  }

  /// Where an application goes with data under way both ways, HAProxy keeps what came from it until
  /// the other side has taken it, and reads no more of what that side sends. If the program there
  /// does the same, as one like it does, neither ever ends; nor does a drain, but for this.
  void look_for_stuck() {
    const auto now = steady_clock::now();
    if (now < next_search_) return;
    next_search_ = now + std::max<steady_clock::duration>(
                             search_period, last_.connections_active * time_to_tell_one);
    ask("show sess all", patience, [weak = weak_from_this()](const Result<std::string>& answer) {
      if (const auto self = weak.lock(); self && answer) self->take_stuck(stuck_in(*answer));
    });
  }

  void take_stuck(const std::map<std::string, std::string>& found) {
    const auto now = steady_clock::now();
    std::map<std::string, Stuck> still;
    std::uint64_t lost = 0;
    for (const auto& [name, moved] : found) {
      const auto before = stuck_.find(name);
      const bool moves = before == stuck_.end() || before->second.moved != moved;
      const auto since = moves ? now : before->second.since;
      still[name] = {moved, since};
      if (now - since >= time_to_move) ++lost;
    }
    stuck_ = std::move(still);
    if (lost >= last_.connections_active) finish();
  }

  void finish() {
    is_over_ = true;
    draining_->signal(SIGTERM);
  }

  void ask(const std::string& command, std::chrono::seconds limit, Callback<std::string> done) {
    // By way of the folder: its own path may be longer than a socket's may.
    const std::string path = "/proc/self/fd/" + std::to_string(folder_->get()) + "/" + socket_name;
    ask_runtime(context_, path, command + "\n", limit,
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
  boost::asio::steady_timer next_look_;
  steady_clock::time_point next_search_;
  std::map<std::string, Stuck> stuck_;
  std::shared_ptr<net::Child> draining_;
  Counters last_;  ///< Of a moment ago, while it drains.
  bool is_over_ = false;
};

}  // namespace

std::shared_ptr<Steering> steer_haproxy(const Site& site, std::string program) {
  return std::make_shared<HaproxySteering>(site, std::move(program));
}

}  // namespace scistream::proxy

#include "proxy/nginx.hpp"

#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <map>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "base/file.hpp"
#include "proxy/expectation.hpp"

namespace scistream::proxy {

namespace {

using dataserver::Callback;
using dataserver::ConnectionStatus;
using dataserver::Counters;
using std::chrono::steady_clock;

constexpr const char* configuration = "nginx.conf";
constexpr std::chrono::seconds patience{5};
/// Longer than a SocketTable may be old.
constexpr std::chrono::seconds memory{1};
/// That nginx may take to say of a connection that it has ended, once the kernel has it no more.
constexpr std::chrono::seconds time_to_tell{5};
constexpr std::size_t most_remembered = 10'000;
/// Before each line about a connection that has ended.
constexpr std::string_view ended = "ended: ";

bool has(std::string_view line, std::string_view part) {
  return line.find(part) != std::string_view::npos;
}

class NginxSteering final : public Steering {
 public:
  NginxSteering(const Site& site, NginxPlan plan)
      : plan_(std::move(plan)), sockets_(site.sockets), workers_changed_(site.context) {}

  Result<net::ChildPlan> prepare(const Work& work) override {
    // What one flow sends must meet one worker.
    workers_ = work.datagrams ? 1 : plan_.workers;
    if (Status written = write(work); !written) return written.error();
    net::ChildPlan plan;
    // The log before there is one would go to a folder of the system.
    plan.arguments = {plan_.program, "-p",    work.folder.string(), "-c", configuration,
                      "-e",          "stderr"};
    std::string inherited = "NGINX=";
    for (std::size_t i = 0; i < work.sockets(); ++i)
      inherited += std::to_string(first_descriptor + static_cast<int>(i)) + ";";
    plan.environment = {std::move(inherited)};
    plan.folder = work.folder;
    listeners_ = work.listeners;
    since_ = steady_clock::now();
    return plan;
  }

  bool take(std::string_view line) override {
    if (line.starts_with(ended)) {
      take_ended(std::string(line.substr(ended.size())));
      return false;
    }
    const bool loud =
        has(line, "[error]") || has(line, "[crit]") || has(line, "[alert]") || has(line, "[emerg]");
    if (has(line, "start worker process ")) ++started_;
    if (has(line, "gracefully shutting down")) ++left_;
    if (has(line, "[emerg]"))
      workers_changed_.fulfil(Error{Cause::unavailable, "nginx: " + std::string(line)});
    if (started_ >= wanted_started_ && left_ >= wanted_left_) workers_changed_.fulfil({});
    return loud;
  }

  void wait_ready(const std::shared_ptr<net::Child>& /*child*/, std::chrono::seconds limit,
                  Callback<void> done) override {
    wait(workers_, 0, limit, std::move(done));
  }

  void retarget(const Work& work, const std::shared_ptr<net::Child>& child,
                Callback<void> done) override {
    if (Status written = write(work); !written) return done(written);
    // Those before it take connections until they say that they do not.
    wait(workers_, workers_, patience, std::move(done));
    child->signal(SIGHUP);
  }

  [[nodiscard]] bool reads_afterwards() const override { return true; }

  void read(Callback<Reading> done) override {
    auto found = connections_at(listeners_, *sockets_, since_);
    if (!found) return done(found.error());
    const auto now = steady_clock::now();
    forget_ended(now);
    for (ConnectionStatus& each : *found) {
      const std::string who = name_of(each.peer, each.port);
      // What the kernel was asked a moment ago may since have ended, and is counted then.
      if (!just_ended_.contains(who)) live_[who] = {std::move(each), now};
    }
    give_up_silent(now);
    Reading reading;
    reading.counters = ended_;
    for (const auto& [who, live] : live_) reading.add(live.status);
    done(std::move(reading));
  }

  void drain(const Work& /*work*/, const std::shared_ptr<net::Child>& child,
             const std::vector<int>& /*listeners*/, std::function<void()> /*idle*/) override {
    child->signal(SIGQUIT);
  }

 private:
  struct Live {
    ConnectionStatus status;
    steady_clock::time_point seen;
  };

  [[nodiscard]] Status write(const Work& work) const {
    std::ostringstream text;
    text << "daemon off;\n"
            "pid nginx.pid;\n"
            "error_log stderr notice;\n"
         << (plan_.module.empty() ? "" : "load_module " + plan_.module + ";\n")
         << "worker_processes " << workers_ << ";\n"
         << "events { worker_connections 16384; }\n"
            "stream {\n"
            "  log_format ended '"
         << ended
         << "$remote_addr $remote_port $server_port $bytes_received $bytes_sent $status';\n"
            "  access_log /dev/stdout ended;\n"
            "  proxy_buffer_size 256k;\n"
            "  proxy_half_close on;\n"
            "  proxy_socket_keepalive on;\n"
            "  proxy_connect_timeout 30s;\n"
            // As long as it takes: streams may be quiet.
            "  proxy_timeout 24d;\n";
    if (work.is_announced) text << "  set_real_ip_from 127.0.0.1;\n";
    for (std::size_t i = 0; i < work.listeners.size(); ++i) {
      text << "  server { listen " << to_string(work.listeners[i])
           << (work.is_announced ? " proxy_protocol" : "") << " backlog=4096; proxy_pass "
           << to_string(work.targets[i]) << "; " << (work.announces ? "proxy_protocol on; " : "")
           << "}\n";
      if (!work.datagrams) continue;
      text << "  server { listen " << to_string(work.listeners[i]) << " udp; proxy_timeout "
           << plan_.flow_idle.count() << "ms; proxy_pass " << to_string(work.targets[i]) << "; }\n";
    }
    text << "}\n";
    return write_private_file(work.folder / configuration, text.str());
  }

  void take_ended(const std::string& words) {
    std::istringstream numbers(words);
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
    int status = 0;
    Endpoint peer;
    std::uint16_t listener = 0;
    if (!(numbers >> peer.host >> peer.port >> listener >> received >> sent >> status)) return;
    peer.host = unmapped(std::move(peer.host));
    const std::string who = name_of(to_string(peer), listener);
    const auto now = steady_clock::now();
    if (just_ended_.size() >= most_remembered) forget_ended(now);
    just_ended_[who] = now;
    if (given_up_.erase(who) > 0) return;  // counted as it was seen
    live_.erase(who);
    ended_.bytes_to_producer += received;
    ended_.bytes_to_consumer += sent;
    ++ended_.connections_total;
    constexpr int good = 200;
    if (status != good) ++ended_.errors;
  }

  void forget_ended(steady_clock::time_point now) {
    std::erase_if(just_ended_, [now](const auto& each) { return each.second + memory < now; });
  }

  /// A worker that dies says nothing of its connections.
  void give_up_silent(steady_clock::time_point now) {
    std::erase_if(live_, [&](const auto& each) {
      const Live& live = each.second;
      if (live.seen + time_to_tell >= now) return false;
      ended_.bytes_to_producer += live.status.bytes_to_producer;
      ended_.bytes_to_consumer += live.status.bytes_to_consumer;
      ++ended_.connections_total;
      ++ended_.errors;
      given_up_.insert(each.first);
      return true;
    });
  }

  /// Until so many workers have started, and so many of those before have stopped to listen.
  void wait(unsigned started, unsigned left, std::chrono::seconds limit, Callback<void> done) {
    wanted_started_ = started_ + started;
    wanted_left_ = left_ + left;
    workers_changed_.await(limit, "nginx does not say that it serves", std::move(done));
  }

  const NginxPlan plan_;
  const std::shared_ptr<SocketTable> sockets_;
  unsigned workers_ = 1;
  std::vector<Endpoint> listeners_;
  SocketTable::Time since_;  ///< It runs.
  /// By name, until nginx says that they have ended: so each is always counted once.
  std::map<std::string, Live> live_;
  std::map<std::string, steady_clock::time_point> just_ended_;  ///< By name.
  std::set<std::string> given_up_;                              ///< By name.
  Counters ended_;  ///< What the connections that have ended moved.
  unsigned started_ = 0;
  unsigned left_ = 0;
  unsigned wanted_started_ = 0;
  unsigned wanted_left_ = 0;
  Expectation workers_changed_;
};

}  // namespace

std::shared_ptr<Steering> steer_nginx(const Site& site, NginxPlan plan) {
  return std::make_shared<NginxSteering>(site, std::move(plan));
}

unsigned nginx_workers(double cpus) {
  constexpr double most = 16;
  const double cores = std::max(1U, std::thread::hardware_concurrency());
  return static_cast<unsigned>(std::ceil(std::min({cores, most, cpus > 0 ? cpus : most})));
}

Result<std::string> nginx_stream_module(const std::filesystem::path& program) {
  const auto built = said_by(program, "-V");
  if (!built) return built.error();
  if (!has(*built, "--with-stream=dynamic") && has(*built, "--with-stream ")) return std::string();
  // Where distributions put it: beside the program's own folder, most often.
  std::error_code ignored;
  const std::filesystem::path prefix = program.parent_path().parent_path();
  for (const std::filesystem::path& folder : {prefix / "lib", prefix / "lib64"}) {
    const auto module = folder / "nginx/modules/ngx_stream_module.so";
    if (std::filesystem::exists(module, ignored)) return module.string();
  }
  return Error{Cause::not_found,
               "'" + program.string() +
                   "' has no stream module; install the package libnginx-mod-stream (apt-get "
                   "install libnginx-mod-stream)"};
}

}  // namespace scistream::proxy

#include "proxy/nginx.hpp"

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "base/file.hpp"
#include "net/socket_statistics.hpp"

namespace scistream::proxy {

namespace {

using dataserver::Callback;
using dataserver::Counters;

constexpr const char* configuration = "nginx.conf";
constexpr int first_descriptor = 3;
/// Before each line about a connection that has ended.
constexpr std::string_view ended = "ended: ";
constexpr std::chrono::seconds patience{5};

bool has(std::string_view line, std::string_view part) {
  return line.find(part) != std::string_view::npos;
}

class NginxSteering final : public Steering, public std::enable_shared_from_this<NginxSteering> {
 public:
  NginxSteering(boost::asio::io_context& context, std::string program, std::string module)
      : program_(std::move(program)), module_(std::move(module)), limit_(context) {}

  Result<net::ChildPlan> prepare(const Work& work) override {
    if (Status written = write(work); !written) return written.error();
    net::ChildPlan plan;
    // The log before there is one would go to a folder of the system.
    plan.arguments = {program_, "-p", work.folder.string(), "-c", configuration, "-e", "stderr"};
    std::string inherited = "NGINX=";
    for (std::size_t i = 0; i < work.listeners.size(); ++i)
      inherited += std::to_string(first_descriptor + static_cast<int>(i)) + ";";
    plan.environment = {std::move(inherited)};
    plan.folder = work.folder;
    for (const Endpoint& each : work.listeners) ports_.insert(each.port);
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
    if (has(line, "[emerg]")) finish(Error{Cause::unavailable, "nginx: " + std::string(line)});
    if (started_ >= wanted_started_ && left_ >= wanted_left_) finish({});
    return loud;
  }

  void wait_ready(Callback<void> done) override { wait(workers_, 0, std::move(done)); }

  void retarget(const Work& work, const net::Child& child, Callback<void> done) override {
    if (Status written = write(work); !written) return done(written);
    // Those before it take connections until they say that they do not.
    wait(workers_, workers_, std::move(done));
    child.signal(SIGHUP);
  }

  void count(Callback<Counters> done) override {
    const auto live =
        net::tcp_connections([this](std::uint16_t port) { return ports_.contains(port); });
    if (!live) return done(live.error());
    Counters now = ended_;
    for (const net::SocketStatistics& each : *live) {
      now.bytes_to_producer += each.bytes_received;
      now.bytes_to_consumer += each.bytes_acknowledged;
      ++now.connections_active;
      ++now.connections_total;
    }
    done(now);
  }

  [[nodiscard]] int drain_signal() const override { return SIGQUIT; }

 private:
  Status write(const Work& work) const {
    std::ostringstream text;
    text << "daemon off;\n"
            "pid nginx.pid;\n"
            "error_log stderr notice;\n"
         << (module_.empty() ? "" : "load_module " + module_ + ";\n") << "worker_processes "
         << workers_ << ";\n"
         << "events { worker_connections 16384; }\n"
            "stream {\n"
            "  log_format ended '"
         << ended
         << "$bytes_received $bytes_sent $status';\n"
            "  access_log /dev/stdout ended;\n"
            "  proxy_buffer_size 256k;\n"
            "  proxy_half_close on;\n"
            "  proxy_connect_timeout 30s;\n"
            // As long as it takes: streams may be quiet.
            "  proxy_timeout 24d;\n";
    for (std::size_t i = 0; i < work.listeners.size(); ++i) {
      text << "  server { listen " << to_string(work.listeners[i]) << " backlog=4096; proxy_pass "
           << to_string(work.targets[i]) << "; }\n";
    }
    text << "}\n";
    return write_private_file(work.folder / configuration, text.str());
  }

  void take_ended(const std::string& words) {
    std::istringstream numbers(words);
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
    int status = 0;
    if (!(numbers >> received >> sent >> status)) return;
    ended_.bytes_to_producer += received;
    ended_.bytes_to_consumer += sent;
    ++ended_.connections_total;
    constexpr int good = 200;
    if (status != good) ++ended_.errors;
  }

  /// Until so many workers have started, and so many of those before have stopped to listen.
  void wait(unsigned started, unsigned left, Callback<void> done) {
    wanted_started_ = started_ + started;
    wanted_left_ = left_ + left;
    done_ = std::move(done);
    limit_.expires_after(patience);
    limit_.async_wait([weak = weak_from_this()](const boost::system::error_code& ec) {
      const auto self = weak.lock();
      if (!ec && self) self->finish(Error{Cause::timeout, "nginx does not say that it serves"});
    });
  }

  void finish(const Status& status) {
    limit_.cancel();
    if (const auto done = std::exchange(done_, nullptr)) done(status);
  }

  const std::string program_;
  const std::string module_;
  const unsigned workers_ = std::max(1U, std::thread::hardware_concurrency());
  boost::asio::steady_timer limit_;
  std::set<std::uint16_t> ports_;
  Counters ended_;  ///< What the connections that have ended moved.
  unsigned started_ = 0;
  unsigned left_ = 0;
  unsigned wanted_started_ = 0;
  unsigned wanted_left_ = 0;
  Callback<void> done_;
};

class Nginx final : public Program {
 public:
  Nginx(std::string program, std::string version, std::string module)
      : program_(std::move(program)), version_(std::move(version)), module_(std::move(module)) {}

  [[nodiscard]] std::string kind() const override { return "NginxSubprocess"; }
  [[nodiscard]] std::string version() const override { return version_; }
  std::shared_ptr<Steering> steer(boost::asio::io_context& context) const override {
    return std::make_shared<NginxSteering>(context, program_, module_);
  }

 private:
  const std::string program_;
  const std::string version_;
  const std::string module_;  ///< Empty where it is built in.
};

/// Where distributions put the module: beside the program's own folder, most often.
std::string stream_module(const std::filesystem::path& program) {
  std::error_code ignored;
  const std::filesystem::path prefix = program.parent_path().parent_path();
  for (const std::filesystem::path& folder : {prefix / "lib", prefix / "lib64"}) {
    const auto module = folder / "nginx/modules/ngx_stream_module.so";
    if (std::filesystem::exists(module, ignored)) return module.string();
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Program>> nginx() {
  const auto program = find_program("nginx", "nginx");
  if (!program) return program.error();
  auto version = version_of(*program, "-v");
  if (!version) return version.error();
  return std::unique_ptr<Program>(
      std::make_unique<Nginx>(program->string(), std::move(*version), stream_module(*program)));
}

}  // namespace scistream::proxy

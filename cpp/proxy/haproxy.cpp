#include "proxy/haproxy.hpp"

#include <fcntl.h>

#include <csignal>
#include <map>
#include <sstream>
#include <utility>

#include "base/file.hpp"
#include "net/fd.hpp"
#include "proxy/runtime_socket.hpp"

namespace scistream::proxy {

namespace {

using dataserver::Callback;
using dataserver::Counters;

constexpr const char* configuration = "haproxy.cfg";
constexpr const char* socket_name = "runtime.sock";
constexpr std::chrono::seconds patience{5};

/// One line of HAProxy's table by the names of its columns.
using Row = std::map<std::string, std::string>;

std::vector<std::string> fields(const std::string& line) {
  std::vector<std::string> found;
  std::istringstream parts(line);
  for (std::string part; std::getline(parts, part, ',');) found.push_back(part);
  return found;
}

/// What `show stat` answers.
std::vector<Row> rows(const std::string& text) {
  std::vector<Row> found;
  std::vector<std::string> names;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# ")) {
      names = fields(line.substr(2));
      continue;
    }
    const auto values = fields(line);
    Row row;
    for (std::size_t i = 0; i < std::min(names.size(), values.size()); ++i)
      row[names[i]] = values[i];
    if (row.contains("svname")) found.push_back(std::move(row));
  }
  return found;
}

std::uint64_t number(const Row& row, const char* column) {
  const auto found = row.find(column);
  return found == row.end() ? 0 : std::strtoull(found->second.c_str(), nullptr, 10);
}

Counters counters_in(const std::string& text) {
  Counters counters;
  for (const Row& row : rows(text)) {
    const std::string& kind = row.at("svname");
    if (kind == "FRONTEND") {
      counters.bytes_to_producer += number(row, "bin");
      counters.bytes_to_consumer += number(row, "bout");
      counters.connections_active += number(row, "scur");
      counters.connections_total += number(row, "stot");
    } else if (kind == "BACKEND") {
      for (const char* column : {"econ", "cli_abrt", "srv_abrt"})
        counters.errors += number(row, column);
    }
  }
  return counters;
}

class HaproxySteering final : public Steering {
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
            "  timeout server 0\n"
            // But for those of which a direction has ended: where both programs have gone with data
            // under way, nothing else would end them.
            "  timeout client-fin 1h\n"
            "  timeout server-fin 1h\n";
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
    child->signal(SIGUSR1);
  }

 private:
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
};

}  // namespace

std::shared_ptr<Steering> steer_haproxy(const Site& site, std::string program) {
  return std::make_shared<HaproxySteering>(site, std::move(program));
}

}  // namespace scistream::proxy

#include "control/data_server_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <string_view>
#include <thread>

#include "base/file.hpp"
#include "base/secret.hpp"
#include "base/wait_for.hpp"
#include "proxy/data_servers.hpp"

namespace scistream::control {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds stop_limit{5'000};
constexpr milliseconds retry_pause{20};
/// A data server without a descriptor or a processor to spare answers within this.
constexpr milliseconds busy_limit{10'000};

std::string find_executable(const std::filesystem::path& given) {
  if (!given.empty()) return given;
  const auto own = proxy::own_program("s2ds");
  return own ? own->string() : "s2ds";
}

/// Whether a variable, `NAME=value`, is to be kept from a data server that is started here: the
/// service manager waits for, and watches, the control server; and it listens on its socket.
bool is_not_for_it(std::string_view variable) {
  static constexpr std::array names{"NOTIFY_SOCKET",    "WATCHDOG_USEC", "WATCHDOG_PID",
                                    "SCISTREAM_LISTEN", "SCISTREAM_CA",  "SCISTREAM_CERT",
                                    "SCISTREAM_KEY"};
  const auto name = variable.substr(0, variable.find('='));
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// With the last thing that it had to say.
Error did_not_start(const char* how, const std::string& log_path) {
  std::string last;
  std::ifstream log(log_path);
  for (std::string line; std::getline(log, line);) {
    if (!line.empty()) last = line;
  }
  const auto quote = last.empty() ? std::string() : ": '" + last + "'";
  return {Cause::unavailable,
          std::string("the data server did not start") + how + quote + "; see " + log_path};
}

/// The line a data server prints when it serves, read from its stdout.
Status wait_until_ready(int output, const std::string& log_path, milliseconds limit) {
  const auto deadline = steady_clock::now() + limit;
  std::string text;
  while (text.find('\n') == std::string::npos) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now()).count();
    pollfd entry{output, POLLIN, 0};
    const int ready = left <= 0 ? 0 : ::poll(&entry, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return did_not_start(" in time", log_path);
    std::array<char, 256> chunk{};
    const ssize_t got = ::read(output, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return did_not_start("", log_path);
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  if (!text.starts_with("s2ds ready on ")) {
    return Error{Cause::unavailable, "the data server started with '" + text.substr(0, 80) + "'"};
  }
  return {};
}

bool in_use(const std::filesystem::path& state_directory) {
  const auto lock = DirectoryLock::take(state_directory, "s2ds");
  return !lock && lock.error().cause == Cause::already_exists;
}

}  // namespace

Result<std::string> data_server_socket(const std::filesystem::path& state_directory) {
  std::string path = (std::filesystem::absolute(state_directory) / "s2ds.sock").lexically_normal();
  if (path.size() < sizeof(sockaddr_un::sun_path)) return path;
  const std::filesystem::path folder = "/tmp/scistream-" + std::to_string(::geteuid());
  if (auto status = make_private_directory(folder); !status) return status.error();
  const std::array<std::string, 1> parts{path};
  const auto name = hmac_sha256(Secret(std::string_view("socket name")), parts);
  return (folder / (to_hex(std::span(name).first(16)) + ".sock")).string();
}

Result<dataserver::Info> ask_info(dataserver::DataServer& data_server, milliseconds limit) {
  return wait_for<dataserver::Info>([&](auto done) { data_server.info(done); }, limit);
}

DataServerProcess::DataServerProcess(DataServerLaunch launch, Logger log)
    : launch_(std::move(launch)), log_(std::move(log)) {}

DataServerProcess::~DataServerProcess() { let_go(); }

std::filesystem::path DataServerProcess::record() const {
  return launch_.state_directory / "s2ds.pid";
}

Result<std::shared_ptr<dataserver::DataServer>> DataServerProcess::connect() {
  if (socket_.empty()) {
    auto path = data_server_socket(launch_.state_directory);
    if (!path) return path.error();
    socket_ = std::move(*path);
  }
  const auto dial = [this] {
    return std::make_shared<RemoteDataServer>("unix:" + socket_, false, TlsFiles{});
  };
  auto present = dial();
  auto info = ask_info(*present, milliseconds(1'000));
  // One that is too busy to answer at once holds its folder still: no other could serve there.
  const auto deadline = steady_clock::now() + busy_limit;
  while (!info && in_use(launch_.state_directory) && steady_clock::now() < deadline) {
    std::this_thread::sleep_for(retry_pause);
    info = ask_info(*present, milliseconds(1'000));
  }
  if (info) {
    const auto wanted = proxy::announced_kind(launch_.kind, launch_.compat_stunnel);
    if (!wanted) return wanted.error();
    if (info->kind != *wanted) {
      return Error{Cause::failed_precondition,
                   "the data server that runs in '" + launch_.state_directory.string() + "' is " +
                       info->kind + ", not " + *wanted +
                       ": end the sessions of the control server before, and its data server "
                       "with it, or give another --state-dir"};
    }
    if (!process_) adopt();
    return std::static_pointer_cast<dataserver::DataServer>(present);
  }
  if (auto status = launch(); !status) return status.error();
  auto fresh = dial();
  if (const auto info = ask_info(*fresh, milliseconds(5'000)); !info) return info.error();
  return std::static_pointer_cast<dataserver::DataServer>(fresh);
}

Status DataServerProcess::launch() {
  let_go();
  const std::string executable = find_executable(launch_.executable);
  const std::string log_path = launch_.state_directory / "s2ds.log";
  if (const net::Fd log(::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
      !log) {
    return errno_error("cannot write the data server's log '" + log_path + "'", errno);
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("cannot make a pipe", errno);
  net::Fd output(ends[0]);
  net::Fd input(ends[1]);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, input.get(), STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log_path.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // Of a session of its own: what ends the control server does not end the data server.
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);

  std::vector<std::string> arguments{
      executable,       "serve",
      "--state-dir",    launch_.state_directory.string(),
      "--type",         launch_.kind,
      "--orphan-grace", std::to_string(launch_.orphan_grace.count()),
      "--ciphersuites", launch_.ciphersuites,
      "--flow-idle",    std::to_string(launch_.flow_idle.count()) + "ms"};
  const auto& container = launch_.container;
  if (!container.image.empty())
    arguments.insert(arguments.end(), {"--container-image", container.image});
  if (!container.engine.empty())
    arguments.insert(arguments.end(), {"--container-engine", container.engine});
  arguments.insert(arguments.end(), {"--container-memory", std::to_string(container.memory_mib),
                                     "--container-cpus", std::to_string(container.cpus)});
  if (launch_.compat_stunnel) arguments.emplace_back("--compat-stunnel");
  if (launch_.verbose) arguments.emplace_back("--verbose");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::vector<char*> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!is_not_for_it(*entry)) variables.push_back(*entry);
  }
  variables.push_back(nullptr);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, executable.c_str(), &actions, &attributes, argv.data(),
                                   variables.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return errno_error("cannot start the data server '" + executable + "'", error);
  input.reset();  // from now on the child alone holds it, so its death is the end of the file
  // It is our child: its number is its own until we wait for it.
  auto process = net::Process::open(pid);
  if (!process) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return process.error();
  }
  process_ = std::move(*process);
  log_->info("data server started, pid {}", pid);
  if (auto status = wait_until_ready(output.get(), log_path, proxy::start_limit_of(launch_.kind));
      !status) {
    end();
    return status;
  }
  // Not before: another one may hold the folder, and its record is not to be touched.
  if (const auto kept = write_private_file(record(), net::process_identity(pid)); !kept) {
    log_->warn(
        "{}; a control server started after this one is killed would not end this data server",
        kept.error().message);
  }
  return {};
}

void DataServerProcess::adopt() {
  const auto identity = read_file(record(), 256);
  auto process = net::Process::find(identity ? *identity : "");
  if (!process) return;
  process_ = std::move(*process);
  log_->info("data server found, pid {}, started by an earlier control server", process_.pid());
}

void DataServerProcess::stop() {
  if (!process_) return;
  end();
  std::error_code ignored;
  std::filesystem::remove(record(), ignored);
}

void DataServerProcess::end() {
  process_.signal(SIGTERM);
  if (!process_.ends_within(stop_limit)) {
    log_->warn("the data server, pid {}, does not end; killing it", process_.pid());
    process_.signal(SIGKILL);
    (void)process_.ends_within(stop_limit);
  }
  let_go();
}

void DataServerProcess::let_go() {
  if (process_) ::waitpid(process_.pid(), nullptr, WNOHANG);  // where it was a child
  process_ = {};
}

}  // namespace scistream::control

// Data servers whose bytes other programs move: the same contract as the native one, and what is
// theirs alone.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <stdexcept>

#include "base/file.hpp"
#include "dataserver/contract.hpp"
#include "net/process.hpp"
#include "net/signals.hpp"
#include "proxy/contained.hpp"
#include "proxy/data_servers.hpp"
#include "proxy/installed.hpp"
#include "support/temporary_directory.hpp"

namespace scistream::dataserver {
namespace {

using Find = Result<proxy::Program> (*)(const proxy::DataServerPlan&);

/// The engine and the image that `./dev test` gives; null if it gives none.
const char* given(const char* what) {
  return std::getenv((std::string("SCISTREAM_TEST_") + what).c_str());
}

NativeOptions two_threads() {
  NativeOptions options;
  options.io_threads = 2;
  return options;
}

proxy::DataServerPlan plan_in(const std::filesystem::path& state) {
  proxy::DataServerPlan plan;
  plan.folder = state / "proxies";
  plan.native = two_threads();
  if (given("ENGINE") != nullptr) plan.container.engine = given("ENGINE");
  if (given("IMAGE") != nullptr) plan.container.image = given("IMAGE");
  return plan;
}

/// A data server of proxies, with a state folder of its own.
class ProxyServer final : private TemporaryDirectory, public proxy::ProxyDataServer {
 public:
  explicit ProxyServer(Find program)
      : proxy::ProxyDataServer(must(program(plan_in(path()))), path() / "proxies", two_threads(),
                               null_logger()) {}
  [[nodiscard]] std::filesystem::path folder() const { return path() / "proxies"; }
};

struct Installed {
  const char* name;
  Find find;
  const char* transport = transport::tcp;
  bool datagrams = false;
  bool contained = false;
  std::string lacks{};
};

std::ostream& operator<<(std::ostream& out, const Installed& which) { return out << which.name; }

std::vector<Installed> installed() {
  std::vector<Installed> all{
      {"HaproxySubprocess", proxy::installed_haproxy},
      {"NginxSubprocess", proxy::installed_nginx, transport::tcp, true},
      {"StunnelSubprocess", proxy::installed_stunnel, transport::tls},
  };
  // Programs in containers are the image's, which no sanitizer has seen.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const std::string lacks =
      given("ENGINE") == nullptr ? "no container engine: SCISTREAM_TEST_ENGINE is not set" : "";
  all.push_back({"Haproxy", proxy::contained_haproxy, transport::tcp, false, true, lacks});
  all.push_back({"Nginx", proxy::contained_nginx, transport::tcp, true, true, lacks});
  all.push_back({"Stunnel", proxy::contained_stunnel, transport::tls, false, true, lacks});
#endif
  return all;
}

std::vector<Kind> kinds() {
  std::vector<Kind> found;
  for (const Installed& each : installed())
    found.push_back({each.name, [find = each.find] { return std::make_unique<ProxyServer>(find); },
                     false, each.transport, each.lacks});
  return found;
}

INSTANTIATE_TEST_SUITE_P(Kinds, Contract, ::testing::ValuesIn(kinds()), kind_name);

class ProxyTest : public Asking, public ::testing::WithParamInterface<Installed> {
 protected:
  void SetUp() override {
    skip_or_fail(GetParam().lacks);
    if (IsSkipped() || HasFailure()) return;
    transport_ = GetParam().transport;
    auto server = std::make_unique<ProxyServer>(GetParam().find);
    folder_ = server->folder();
    server_ = std::move(server);
  }
  /// What the sessions' proxies were recorded as.
  [[nodiscard]] std::vector<std::string> recorded() const {
    std::vector<std::string> found;
    for (const auto& session : std::filesystem::directory_iterator(folder_))
      found.push_back(must(read_file(session.path() / "identity")));
    return found;
  }
  /// The process of the one session's proxy, as soon as one runs.
  [[nodiscard]] pid_t only_pid() const {
    std::optional<pid_t> found;
    const auto runs = [&] {
      const auto all = recorded();
      EXPECT_EQ(all.size(), 1U);
      found = net::identified_process(all.at(0));
      return found.has_value();
    };
    if (!eventually(runs)) throw std::runtime_error("the session's proxy does not run");
    return *found;
  }
  /// Until the session has counted this, and no connection of it lives.
  testing::AssertionResult comes_to_count(std::uint64_t to_producer, std::uint64_t to_consumer,
                                          std::uint64_t connections) {
    Counters now;
    if (eventually([&] {
          now = must(status(SessionKey{"session", Role::producer})).at(0).counters;
          return now.bytes_to_producer == to_producer && now.bytes_to_consumer == to_consumer &&
                 now.connections_total == connections && now.connections_active == 0;
        }))
      return testing::AssertionSuccess();
    return testing::AssertionFailure()
           << now.bytes_to_producer << " bytes to the producer, " << now.bytes_to_consumer
           << " to the consumer, " << now.connections_total << " connections, "
           << now.connections_active << " of them live";
  }
  /// One connection through a listener, used both ways: 8 bytes go, 6 come back.
  static bool echoes(const Endpoint& listener, const Target& app,
                     std::chrono::milliseconds limit = patience) {
    static std::atomic<unsigned> asked = 10'000'000;
    const std::string question = std::to_string(++asked);
    const net::Fd client = connect_to(listener);
    send_all(client.get(), question);
    for (;;) {
      const net::Fd accepted = app.accept(limit);
      if (!accepted) return false;
      // Of a client that gave up before this one, a connection may still come.
      if (receive(accepted.get(), question.size()).bytes != question) continue;
      send_all(accepted.get(), "answer");
      return receive(client.get(), 6).bytes == "answer";
    }
  }

  std::filesystem::path folder_;
};

TEST_P(ProxyTest, SaysWhichProgramItIs) {
  const Info info = must(wait_for<Info>([&](auto done) { server_->info(done); }));
  EXPECT_EQ(info.kind, GetParam().name);
  EXPECT_NE(info.version.find('.'), std::string::npos);
  const bool encrypts = transport_ == transport::tls;
  EXPECT_EQ(info.transports,
            (encrypts ? std::vector<std::string>{"tls"} : std::vector<std::string>{"tcp", "tls"}));
}

TEST_P(ProxyTest, OneThatDiesIsReplacedWhileClientsWait) {
  const Target app;
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, app.endpoint()));
  EXPECT_TRUE(echoes(reach(port), app));
  EXPECT_TRUE(comes_to_count(8, 6, 1));
  Recorder recorder;
  const auto watch = server_->watch(1h, recorder.observer());
  const pid_t before = only_pid();
  const auto heard = [&recorder](const char* news) {
    return recorder.has(
        [news](const Event& event) { return event.detail.find(news) != std::string::npos; });
  };
  send_signal(before, SIGKILL);
  EXPECT_TRUE(heard("ended by signal 9"));
  // What was killed of a container is what stands for it; the program goes a moment later.
  if (GetParam().contained) {
    EXPECT_TRUE(heard("serves again"));
  }
  EXPECT_TRUE(echoes(reach(port), app));  // connects at once, and is taken by the next one
  EXPECT_NE(only_pid(), before);
  EXPECT_TRUE(heard("serves again"));
  // What went through the first is counted still.
  EXPECT_TRUE(comes_to_count(16, 12, 2));
}

TEST_P(ProxyTest, OneThatDiesAmidAnUpdateIsReplacedByOneThatHasIt) {
  const Target first;
  const Target second;
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, first.endpoint()));
  send_signal(only_pid(), SIGSTOP);
  std::promise<Status> updated;
  server_->update(request(Role::producer, {second.endpoint()}),
                  [&](Status result) { updated.set_value(std::move(result)); });
  send_signal(only_pid(), SIGKILL);
  auto answer = updated.get_future();
  ASSERT_EQ(answer.wait_for(patience), std::future_status::ready);
  must(answer.get());
  EXPECT_TRUE(eventually([&] { return echoes(reach(port), second, 2s); }));
}

TEST_P(ProxyTest, OneThatIsReplacedHasTheTargetsThatCameMeanwhile) {
  const std::vector<Target> targets(4);
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, targets[0].endpoint()));
  for (std::size_t i = 1; i < targets.size(); ++i) {
    const pid_t before = only_pid();
    send_signal(before, SIGKILL);
    // While it has ended, and while the next one starts.
    EXPECT_TRUE(eventually([&] { return i == 1 || only_pid() != before; }));
    must(update(Role::producer, targets[i].endpoint()));
    // One that is about to go may take one more.
    EXPECT_TRUE(eventually([&] { return echoes(reach(port), targets[i], 2s); }));
  }
}

// Protocol: last-counters
TEST_P(ProxyTest, ReleaseAnswersWhatWentThroughJustBefore) {
  const Target app;
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, app.endpoint()));
  const net::Fd client = connect_to(reach(port));
  net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  send_all(client.get(), "question");
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(receive(accepted.get()).bytes, "question");
  send_all(accepted.get(), "answer");
  accepted.reset();
  EXPECT_EQ(receive(client.get()).bytes, "answer") << "to its end";
  const auto last = must(release()).value().counters;
  EXPECT_EQ(last.bytes_to_producer, 8U);
  EXPECT_EQ(last.bytes_to_consumer, 6U);
  EXPECT_EQ(last.connections_total, 1U);
}

TEST_P(ProxyTest, ReleaseLeavesNeitherProcessNorFolder) {
  const Target app;
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, app.endpoint()));
  EXPECT_TRUE(echoes(reach(port), app));
  const std::string identity = recorded().at(0);
  must(release());
  EXPECT_FALSE(net::identified_process(identity));
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_P(ProxyTest, OneThatIsDeafIsKilled) {
  const Target app;
  must(reserve(request()));
  must(update(Role::producer, app.endpoint()));
  const std::string identity = recorded().at(0);
  send_signal(only_pid(), SIGSTOP);
  must(release());
  EXPECT_FALSE(net::identified_process(identity));
}

TEST_P(ProxyTest, OneThatIsDeafIsKilledAfterADrainToo) {
  const Target app;
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, app.endpoint()));
  EXPECT_TRUE(echoes(reach(port), app));
  EXPECT_TRUE(comes_to_count(8, 6, 1));
  const std::string identity = recorded().at(0);
  // It hears neither that it is to end nor anything else.
  send_signal(only_pid(), SIGSTOP);
  std::promise<Result<Released>> drained;
  server_->release({"session", Role::producer}, Ending::drain,
                   [&](auto result) { drained.set_value(std::move(result)); });
  auto answer = drained.get_future();
  ASSERT_EQ(answer.wait_for(2 * patience), std::future_status::ready);
  EXPECT_TRUE(answer.get().ok());
  EXPECT_FALSE(net::identified_process(identity));
}

// Protocol: quiet-stream
TEST_P(ProxyTest, NoConnectionEndsForBeingQuiet) {
  const Target app;
  must(reserve(request()));
  must(update(Role::producer, app.endpoint()));
  std::string configuration;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_))
    if (entry.path().extension() == ".cfg" || entry.path().extension() == ".conf")
      configuration += must(read_file(entry.path()));
  // Each has a time of its own where it is told none; two know no time without end.
  const std::string kind = GetParam().name;
  const std::vector<const char*> wanted =
      kind.starts_with("Haproxy") ? std::vector{"timeout client 0\n", "timeout server 0\n"}
      : kind.starts_with("Nginx")
          ? std::vector{"proxy_timeout 24d;"}
          : std::vector{"TIMEOUTidle = 2000000\n", "TIMEOUTclose = 2000000\n"};
  for (const char* each : wanted) EXPECT_NE(configuration.find(each), std::string::npos) << each;
  EXPECT_EQ(configuration.find("-fin"), std::string::npos);
}

TEST_P(ProxyTest, ADrainAmidAStartEndsAtOnce) {
  const Target app;
  must(reserve(request()));
  must(update(Role::producer, app.endpoint()));
  const pid_t before = only_pid();
  send_signal(before, SIGKILL);
  EXPECT_TRUE(eventually([&] { return only_pid() != before; }));
  EXPECT_TRUE(release(Role::producer, Ending::drain).ok());
  EXPECT_TRUE(must(status()).empty());
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_P(ProxyTest, ConnectionsThatGoWithTheProgramAreErrors) {
  const Target app;
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, app.endpoint()));
  const net::Fd client = connect_to(reach(port));
  const net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  send_all(client.get(), "question");
  EXPECT_EQ(receive(accepted.get(), 8).bytes, "question");
  const auto counters = [&] {
    return must(status(SessionKey{"session", Role::producer})).at(0).counters;
  };
  EXPECT_TRUE(eventually(
      [&] { return counters().connections_active == 1 && counters().bytes_to_producer == 8; }));
  send_signal(only_pid(), SIGKILL);
  EXPECT_TRUE(eventually([&] { return counters().connections_active == 0; }));
  EXPECT_GE(counters().errors, 1U);
  EXPECT_EQ(counters().bytes_to_producer, 8U);
  EXPECT_EQ(counters().connections_total, 1U);
}

TEST_P(ProxyTest, WhatAWorkerOfNginxTookWithItIsCountedStill) {
  if (std::string_view(GetParam().name) != "NginxSubprocess") GTEST_SKIP() << "has no workers";
  const Target app;
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, app.endpoint()));
  const net::Fd client = connect_to(reach(port));
  const net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  send_all(client.get(), "question");
  EXPECT_EQ(receive(accepted.get(), 8).bytes, "question");
  const auto counters = [&] {
    return must(status(SessionKey{"session", Role::producer})).at(0).counters;
  };
  EXPECT_TRUE(eventually([&] { return counters().bytes_to_producer == 8; }));
  const pid_t master = only_pid();
  const auto folder = std::filesystem::directory_iterator(folder_)->path();
  for (const pid_t each : net::session_members(master, folder))
    if (each != master) send_signal(each, SIGKILL);
  EXPECT_TRUE(eventually([&] {
    const auto now = counters();
    EXPECT_EQ(now.bytes_to_producer, 8U);  // at any moment
    return now.errors == 1 && now.connections_active == 0 && now.connections_total == 1;
  }));
  EXPECT_EQ(only_pid(), master);
  EXPECT_TRUE(eventually([&] { return echoes(reach(port), app, 2s); }));
}

TEST_P(ProxyTest, DestructionEndsEveryProxy) {
  const Target app;
  for (const Role role : {Role::producer, Role::consumer}) {
    must(reserve(request(role)));
    must(update(role, app.endpoint()));
  }
  const auto identities = recorded();
  ASSERT_EQ(identities.size(), 2U);
  server_.reset();
  for (const std::string& identity : identities) EXPECT_FALSE(net::identified_process(identity));
}

/// The numbers that a shell's script says, of processes that outlive it.
std::vector<pid_t> numbers_of(const std::string& script) {
  FILE* const shell = ::popen(script.c_str(), "r");  // NOLINT(cert-env33-c): a shell is meant
  std::string said(1'000, '\0');
  said.resize(std::fread(said.data(), 1, said.size(), shell));
  ::pclose(shell);
  std::istringstream words(said);
  return {std::istream_iterator<pid_t>(words), {}};
}

TEST_P(ProxyTest, WhatAnEarlierDataServerLeftIsEndedAndNobodyElse) {
  const TemporaryDirectory state;
  // Of another process group and not ours to wait for: as one left behind is.
  const std::string sleeper = "setsid sleep 1000 >/dev/null 2>&1 & echo $!";
  const pid_t left = numbers_of(sleeper).at(0);
  const pid_t other = numbers_of(sleeper).at(0);
  // Of a program that has ended already, in the folder that it ran in.
  const auto orphan_folder = state.path() / "4";
  must(make_private_directory(orphan_folder));
  const std::string script =
      "cd " + orphan_folder.string() + " && setsid sh -c 'sleep 1000 >/dev/null 2>&1 & echo $$ $!'";
  const auto two = numbers_of(script);
  const pid_t ended = two.at(0);
  const pid_t orphan = two.at(1);
  const std::string other_identity = net::process_identity(other);
  const auto leave = [&](const std::string& name, const std::string& identity) {
    must(make_private_directory(state.path() / name));
    must(write_private_file(state.path() / name / "identity", identity));
  };
  leave("1", net::process_identity(left));
  // A number that has passed to another process since.
  leave("2", std::to_string(other) + " 1 " + other_identity.substr(other_identity.rfind(' ') + 1));
  leave("3", "nonsense");
  leave("4", std::to_string(ended) + " 1 boot");
  const proxy::ProxyDataServer later(must(GetParam().find(plan_in(state.path()))), state.path(),
                                     two_threads(), null_logger());
  EXPECT_TRUE(eventually([&] { return net::process_identity(left).empty(); }));
  EXPECT_TRUE(eventually([&] { return net::process_identity(orphan).empty(); }));
  EXPECT_EQ(net::process_identity(other), other_identity);
  send_signal(other, SIGKILL);
  EXPECT_TRUE(std::filesystem::is_empty(state.path()));
}

TEST_P(ProxyTest, KeysAndConfigurationAreNobodyElses) {
  const Target app;
  must(reserve(request()));
  must(update(Role::producer, app.endpoint()));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
    const auto mode = std::filesystem::status(entry).permissions();
    EXPECT_EQ(mode & std::filesystem::perms(077), std::filesystem::perms::none) << entry.path();
  }
}

TEST_P(ProxyTest, ARateGoesThroughARelayInFront) {
  const Target app;
  const auto port = must(reserve(request())).ports.at(0);
  UpdateRequest limited = request(Role::producer, {app.endpoint()});
  limited.rate.mbps = 80;
  must(update(limited));
  const net::Fd client = connect_to(reach(port));
  const net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  const std::string bytes = pattern(3'000'000, 5);
  const auto start = std::chrono::steady_clock::now();
  std::thread sends([&] { send_all(client.get(), bytes); });
  EXPECT_TRUE(receive(accepted.get(), bytes.size()).bytes == bytes);
  sends.join();
  // 0.3 s at 10 MB/s; unlimited it takes a few milliseconds.
  EXPECT_GT(std::chrono::steady_clock::now() - start, 200ms);
}

TEST_P(ProxyTest, ARateThatComesLaterIsRefusedAndEndsNothing) {
  const Target app;
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, app.endpoint()));
  UpdateRequest limited = request(Role::producer, {app.endpoint()});
  limited.rate.mbps = 80;
  const Status refused = update(limited);
  EXPECT_EQ(refused.error().cause, Cause::failed_precondition);
  EXPECT_TRUE(echoes(reach(port), app));
}

TEST_P(ProxyTest, ATargetByNameIsLookedUpAndOneThatIsNoneEndsTheSession) {
  const Target app;
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, {"localhost", app.endpoint().port}));
  EXPECT_TRUE(echoes(reach(port), app));
  const Status unknown = update(Role::producer, {"no-such-host.invalid", 7000});
  EXPECT_NE(unknown.error().message.find("no-such-host.invalid"), std::string::npos);
}

TEST_P(ProxyTest, DatagramsAreRefusedWhereTheyCannotGo) {
  if (GetParam().datagrams) return;
  ReserveRequest datagrams = request();
  datagrams.datagrams = true;
  const auto refused = reserve(datagrams);
  EXPECT_EQ(refused.error().cause, Cause::invalid_argument);
  EXPECT_TRUE(must(status()).empty());
}

TEST_P(ProxyTest, AConfigurationThatDoesNotWorkSaysWhy) {
  must(reserve(request()));
  // A folder that it cannot use.
  std::filesystem::remove_all(folder_);
  std::ofstream(folder_) << "in the way";
  const Target app;
  const Status failed = update(Role::producer, app.endpoint());
  ASSERT_FALSE(failed.ok());
  EXPECT_NE(failed.error().message.find(folder_.string()), std::string::npos);
  // Its release follows the answer.
  EXPECT_TRUE(eventually([this] { return must(status()).empty(); }));
  std::filesystem::remove(folder_);
}

TEST_P(ProxyTest, FiftySessionsLeaveDescriptorsAsTheyWere) {
  const Target app;
  const auto round = [&](Role role) {
    const auto ports = must(reserve(request(role, 2))).ports;
    must(update(role, app.endpoint()));
    EXPECT_TRUE(echoes(reach(ports[1], role), app));
    must(release(role));
    wan_.forget();
  };
  round(Role::producer);
  const int before = open_descriptors();
  for (int i = 0; i < 25; ++i) {
    round(Role::producer);
    round(Role::consumer);
  }
  EXPECT_TRUE(eventually([&] { return open_descriptors() <= before; }));
}

INSTANTIATE_TEST_SUITE_P(Programs, ProxyTest, ::testing::ValuesIn(installed()),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(FindProgram, NamesThePackageOfOneThatIsMissing) {
  const auto found = proxy::find_program("no-such-program", "no-such-package");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().cause, Cause::not_found);
  EXPECT_NE(found.error().message.find("apt-get install no-such-package"), std::string::npos);
}

}  // namespace
}  // namespace scistream::dataserver

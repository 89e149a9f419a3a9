// s2ds, the data server: behind a control server, or alone as a relay.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/file.hpp"
#include "base/text.hpp"
#include "cli/command_line.hpp"
#include "cli/container_commands.hpp"
#include "cli/doctor.hpp"
#include "cli/service_manager.hpp"
#include "cli/signals.hpp"
#include "cli/terminal.hpp"
#include "client/trust.hpp"
#include "control/control_server.hpp"
#include "control/data_server_host.hpp"
#include "net/io_threads.hpp"
#include "net/tcp.hpp"
#include "proxy/data_servers.hpp"
#include "relay/relay.hpp"
#include "relay/tls_link.hpp"
#include "scistream/version.hpp"
#include "session/types.hpp"

namespace {

using namespace scistream;  // NOLINT(google-build-using-namespace): a program, not a header

constexpr auto examples = R"(
Examples:
  s2ds serve --state-dir /run/scistream
        the data server of the control server whose state folder this is
  s2ds serve --listen 10.0.0.7:5001 --ca facility-ca.pem --cert gw7.crt --key gw7.key
        on another gateway node, for a control server with a certificate of the same authority
  s2ds relay --listen 0.0.0.0:7000 --target instrument.example.org:7000
        forward one port, without any control server
  s2ds relay --listen 0.0.0.0:7443 --target 127.0.0.1:7000 --tls server --key-file shared.key
  s2ds relay --listen 127.0.0.1:7000 --target gateway.example.org:7443 --tls client --key-file shared.key
        the same port through an encrypted leg; make the key with: openssl rand -hex 32
  s2ds doctor --rate 10000 --rtt 80 --port-range 5000-5099
        what this machine should change to stream 10 Gbit/s over a path of 80 ms

Exit codes: docs/exit-codes.md.
)";

struct Settings {
  control::DataServerHostOptions host;
  std::string state_directory;
  std::string serve_listen;
  std::string orphan_grace;
  std::vector<std::string> listen;
  std::vector<std::string> target;
  std::string tls;
  std::filesystem::path key_file;
  std::uint64_t rate = 0;
  std::string protocol = "tcp";
  std::string flow_idle = "60s";
  std::string ciphersuites = "AES-128-GCM";
  bool names_ciphersuites = false;  ///< On the command line.
  cli::Purpose purpose;
  bool strict = false;
  bool json = false;
  std::size_t threads = 0;
  bool verbose = false;
};

Result<std::chrono::milliseconds> flow_idle(const Settings& settings) {
  const auto idle = cli::parse_duration(settings.flow_idle);
  if (!idle) return Error{Cause::invalid_argument, "--flow-idle: " + idle.error().message};
  if (idle->count() == 0)
    return Error{Cause::invalid_argument, "--flow-idle 0: a flow needs some time"};
  return std::chrono::ceil<std::chrono::milliseconds>(*idle);
}

Result<std::vector<net::Ciphersuite>> ciphersuites(const Settings& settings) {
  auto suites = net::parse_ciphersuites(settings.ciphersuites);
  if (!suites) return Error{Cause::invalid_argument, "--ciphersuites: " + suites.error().message};
  return suites;
}

/// For the one line that systemctl shows.
std::string in_words(const std::vector<dataserver::SessionStatus>& sessions) {
  std::uint64_t connections = 0;
  for (const auto& session : sessions) connections += session.counters.connections_active;
  return counted(sessions.size(), "session") + ", " + counted(connections, "connection");
}

Status serve(Settings& settings) {
  settings.host.state_directory = settings.state_directory.empty()
                                      ? default_state_directory() / "s2ds"
                                      : std::filesystem::path(settings.state_directory);
  settings.host.threads = settings.threads;
  auto suites = ciphersuites(settings);
  if (!suites) return suites.error();
  settings.host.ciphersuites = std::move(*suites);
  const auto idle = flow_idle(settings);
  if (!idle) return idle.error();
  settings.host.flow_idle = *idle;
  if (!settings.serve_listen.empty()) {
    auto endpoint = parse_endpoint(settings.serve_listen, ZeroPort::allowed);
    if (!endpoint) return endpoint.error();
    settings.host.listen = std::move(*endpoint);
  }
  if (!settings.orphan_grace.empty()) {
    const auto grace = cli::parse_duration(settings.orphan_grace);
    if (!grace) return Error{Cause::invalid_argument, "--orphan-grace: " + grace.error().message};
    settings.host.orphan_grace = std::chrono::ceil<std::chrono::seconds>(*grace);
  }
  cli::block_signals({SIGINT, SIGTERM, SIGHUP});
  control::DataServerHost host(settings.host, stderr_logger("s2ds", settings.verbose));
  if (auto status = host.start(); !status) return status;
  std::printf("s2ds ready on %s\n", host.address().c_str());
  std::fflush(stdout);
  cli::notify_systemd("READY=1");
  const cli::SignalWaiter stop({SIGINT, SIGTERM, SIGHUP}, [&host](int) { host.request_stop(); });
  {
    const cli::Heartbeat heartbeat([&host](cli::Heartbeat::Answer answer) {
      host.ask_status([answer = std::move(answer)](const auto& sessions) {
        if (sessions) answer(in_words(*sessions));
      });
    });
    host.wait();
  }
  cli::notify_systemd("STOPPING=1");
  host.stop();
  return {};
}

/// How a relay alone crosses the network: plain, or encrypted towards one of its sides.
Result<relay::TransportPtr> transport_of(const Settings& settings) {
  if (settings.tls.empty()) {
    if (!settings.key_file.empty())
      return Error{Cause::invalid_argument, "--key-file is for --tls client or --tls server"};
    if (settings.names_ciphersuites)
      return Error{Cause::invalid_argument, "--ciphersuites is for --tls client or --tls server"};
    return relay::tcp_transport(relay::Side::dialled);
  }
  if (settings.key_file.empty())
    return Error{Cause::invalid_argument, "--tls needs --key-file, the same at both relays"};
  const auto suites = ciphersuites(settings);
  if (!suites) return suites.error();
  const auto key = client::read_key_file(settings.key_file);
  if (!key) return key.error();
  static const SteadyClock clock;
  auto keys = std::make_shared<net::KeyRing>(*suites, clock);
  keys->replace(*key);
  const bool client = settings.tls == "client";
  return relay::tls_transport(client ? relay::Side::dialled : relay::Side::accepted,
                              std::make_shared<net::TlsContext>(
                                  client ? net::TlsRole::client : net::TlsRole::server, *suites),
                              std::move(keys));
}

/// Whether who dials `target` meets whoever listens there.
bool reaches(const Endpoint& target, const Endpoint& listener) {
  if (target.port != listener.port) return false;
  if (target.host == listener.host) return true;
  const auto place = net::local_endpoint(listener);
  return place && place->address().is_unspecified() && net::is_local_address(target.host);
}

/// What went through, for the log.
std::string summary(const relay::Snapshot& all) {
  return std::to_string(all.connections_total) + " connections, " +
         std::to_string(all.bytes_to_target) + " bytes to the targets, " +
         std::to_string(all.bytes_to_client) + " back, " + std::to_string(all.errors) +
         " did not end well, " + std::to_string(all.refused) + " of them refused";
}

/// Answers when each of the threads that move bytes has done so.
void ask_every_thread(net::IoThreads& threads, const std::function<void()>& done) {
  auto left = std::make_shared<std::atomic<std::size_t>>(threads.size());
  for (std::size_t i = 0; i < threads.size(); ++i) {
    boost::asio::post(threads.at(i), [left, done] {
      if (--*left == 0) done();
    });
  }
}

Status forward(Settings& settings) {
  if (settings.listen.size() != settings.target.size()) {
    return Error{Cause::invalid_argument, std::to_string(settings.listen.size()) +
                                              " --listen and " +
                                              std::to_string(settings.target.size()) +
                                              " --target: give one target for each listener"};
  }
  std::vector<relay::Pair> pairs;
  for (std::size_t i = 0; i < settings.listen.size(); ++i) {
    auto listener = parse_endpoint(settings.listen[i], ZeroPort::allowed);
    if (!listener) return listener.error();
    auto target = parse_endpoint(settings.target[i]);
    if (!target) return target.error();
    pairs.push_back({std::move(*listener), std::move(*target)});
  }
  for (const relay::Pair& pair : pairs) {
    const auto met = std::find_if(pairs.begin(), pairs.end(), [&pair](const relay::Pair& other) {
      return reaches(pair.target, other.listener);
    });
    if (met != pairs.end()) {
      return Error{Cause::invalid_argument, "the target '" + to_string(pair.target) +
                                                "' is this relay's own listener '" +
                                                to_string(met->listener) + "'"};
    }
  }
  auto transport = transport_of(settings);
  if (!transport) return transport.error();
  cli::block_signals({SIGINT, SIGTERM, SIGHUP});
  net::IoThreads threads(settings.threads == 0 ? std::thread::hardware_concurrency()
                                               : settings.threads);
  relay::Options options;
  options.datagrams = settings.protocol == "udp";
  const auto idle = flow_idle(settings);
  if (!idle) return idle.error();
  options.flow_idle = *idle;
  const auto log = stderr_logger("s2ds", settings.verbose);
  auto relay = relay::Relay::open(threads, pairs, std::move(options), log, std::move(*transport));
  if (!relay) return relay.error();
  (*relay)->set_rate(settings.rate * relay::bits_per_megabit);
  for (const Endpoint& listener : (*relay)->listeners()) {
    std::printf("s2ds ready on %s\n", to_string(listener).c_str());
  }
  std::fflush(stdout);
  cli::notify_systemd("READY=1");
  {
    const cli::Heartbeat heartbeat([&](cli::Heartbeat::Answer answer) {
      const auto live = (*relay)->snapshot().connections_active;
      ask_every_thread(threads,
                       [answer = std::move(answer), live] { answer(counted(live, "connection")); });
    });
    while (cli::wait_signal({SIGINT, SIGTERM, SIGHUP}, std::chrono::hours(1)) == 0) {
    }
  }
  cli::notify_systemd("STOPPING=1");
  log->info("{}", summary((*relay)->snapshot()));
  return {};
}

Status doctor(const Settings& settings) {
  if (!settings.purpose.ports.empty()) {
    const auto range = parse_port_range(settings.purpose.ports);
    if (!range) return Error{Cause::invalid_argument, "--port-range: " + range.error().message};
  }
  const auto findings = cli::examine(cli::this_node(), settings.purpose);
  std::size_t changes = 0;
  auto document = nlohmann::ordered_json::array();
  std::vector<std::vector<std::string>> rows{{"what", "state", "found", "change"}};
  for (const cli::Finding& each : findings) {
    if (each.state == cli::Finding::State::change) ++changes;
    document.push_back({{"check", each.check},
                        {"state", to_string(each.state)},
                        {"found", each.found},
                        {"remedy", each.remedy}});
    rows.push_back({each.check, to_string(each.state), each.found, each.remedy});
  }
  if (settings.json) {
    const nlohmann::ordered_json whole{{"findings", document}, {"changes", changes}};
    std::printf("%s\n", whole.dump(2).c_str());
  } else {
    std::fputs(cli::table(rows, STDOUT_FILENO).c_str(), stdout);
  }
  if (!settings.strict || changes == 0) return {};
  return cli::already_reported(
      Error{Cause::failed_precondition, std::to_string(changes) + " things should be changed"});
}

}  // namespace

int main(int argc, char** argv) {
  cli::prepare_process();
  cli::raise_descriptor_limit();
  CLI::App app("SciStream data server: buffers and forwards the bytes of sessions.", "s2ds");
  app.footer(examples);
  app.set_version_flag("--version", "s2ds, version: " + std::string(version()));
  app.require_subcommand(1);
  app.fallthrough();
  Settings settings;
  const auto env = [](const char* name) { return std::string("SCISTREAM_") + name; };
  app.add_flag("-v,--v,--verbose", settings.verbose, "Log every connection and state change");
  app.add_option("--threads", settings.threads, "Threads that move bytes [one a core]")
      ->check(CLI::Range(1, 1024))
      ->envname(env("THREADS"));

  CLI::App* serving = app.add_subcommand("serve", "Serve a control server");
  serving->add_option("--state-dir", settings.state_directory, "Folder for the socket and the lock")
      ->envname(env("STATE_DIR"));
  serving->add_option("--type", settings.host.kind, "What forwards; upper or lower case")
      ->type_name(CLI::IsMember(proxy::data_server_kinds()).get_description())
      ->envname(env("TYPE"))
      ->capture_default_str();
  serving
      ->add_flag("--compat-stunnel", settings.host.compat_stunnel,
                 "Of stunnel: as SciStream 1.x has it, which encrypts nothing")
      ->envname(env("COMPAT_STUNNEL"));
  serving
      ->add_option("--listen", settings.serve_listen,
                   "HOST:PORT instead of the socket; 0 takes a free port")
      ->envname(env("LISTEN"));
  serving
      ->add_option("--ca", settings.host.ca,
                   "Authority whose certificates may call, PEM: mutual TLS")
      ->envname(env("CA"));
  serving->add_option("--cert", settings.host.certificate, "This server's certificate, PEM")
      ->envname(env("CERT"));
  serving->add_option("--key", settings.host.key, "Its private key, PEM")->envname(env("KEY"));
  serving
      ->add_option(
          "--orphan-grace", settings.orphan_grace,
          "End this long after the control server and the last connection have gone [never]")
      ->envname(env("ORPHAN_GRACE"));

  cli::add_container_options(*serving, settings.host.container);

  CLI::App* relaying = app.add_subcommand("relay", "Forward listeners to targets, alone");
  relaying
      ->add_option("--listen", settings.listen,
                   "HOST:PORT to listen on; port 0 takes a free one; may be repeated")
      ->allow_extra_args(false)
      ->required();
  relaying
      ->add_option("--target", settings.target, "HOST:PORT to forward it to; one for each --listen")
      ->allow_extra_args(false)
      ->required();

  relaying
      ->add_option("--tls", settings.tls,
                   "Encrypt with the key of --key-file: client, towards the targets; server, "
                   "towards those who connect")
      ->check(CLI::IsMember({"client", "server"}));
  relaying->add_option("--key-file", settings.key_file,
                       "64 hexadecimal digits, readable by you alone; the same at both relays");
  relaying
      ->add_option("--rate", settings.rate,
                   "Mbit/s of the applications' bytes each way, all connections together; 0: no "
                   "limit")
      ->check(CLI::Range(0LL, session::max_rate_mbps))
      ->capture_default_str();
  relaying
      ->add_option("--protocol", settings.protocol,
                   "tcp; or udp, which takes datagrams as well as connections")
      ->check(CLI::IsMember({"tcp", "udp"}))
      ->capture_default_str();
  for (CLI::App* command : {serving, relaying}) {
    command
        ->add_option("--flow-idle", settings.flow_idle,
                     "A flow of datagrams ends when nothing has moved for so long")
        ->envname(env("FLOW_IDLE"))
        ->capture_default_str();
    command
        ->add_option("--ciphersuites", settings.ciphersuites,
                     "By preference: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305")
        ->envname(env("CIPHERSUITES"))
        ->capture_default_str();
  }

  cli::ContainerCommands containers(app);
  int of_program = 0;  // its exit code is ours

  CLI::App* examining =
      app.add_subcommand("doctor", "Say what this machine should change to stream well");
  examining->add_option("--rate", settings.purpose.mbps, "Mbit/s of one connection over the WAN")
      ->check(CLI::Range(1LL, session::max_rate_mbps))
      ->capture_default_str();
  examining->add_option("--rtt", settings.purpose.round_trip_ms, "Milliseconds there and back")
      ->check(cli::within(0, 10'000))
      ->capture_default_str();
  examining->add_option("--connections", settings.purpose.connections, "Connections at one time")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  examining->add_option("--port-range", settings.purpose.ports, "What s2cs leases, FIRST-LAST")
      ->default_val(to_string(control::ControlServerOptions().port_range));
  examining->add_flag("--json", settings.json, "One JSON document");
  examining->add_flag("--strict", settings.strict, "Exit code 10 if something should be changed");

  const int code = cli::run(app, cli::normalized(argc, argv, {"serve", "relay", "doctor"}),
                            [&] {
                              settings.names_ciphersuites =
                                  std::any_of(argv, argv + argc, [](const char* word) {
                                    return std::string_view(word).starts_with("--ciphersuites");
                                  });
                              if (examining->parsed()) return doctor(settings);
                              if (containers.given()) {
                                of_program = containers.run();
                                return Status();
                              }
                              return serving->parsed() ? serve(settings) : forward(settings);
                            },
                            {settings.json});
  return code != 0 ? code : of_program;
}

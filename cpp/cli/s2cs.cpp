// s2cs, the control server of a facility.
#include <unistd.h>

#include <cstdio>
#include <future>

#include "base/file.hpp"
#include "base/text.hpp"
#include "cli/access_options.hpp"
#include "cli/command_line.hpp"
#include "cli/container_commands.hpp"
#include "cli/service_manager.hpp"
#include "cli/signals.hpp"
#include "cli/terminal.hpp"
#include "control/control_server.hpp"
#include "proxy/data_servers.hpp"
#include "scistream/version.hpp"

namespace {

using namespace scistream;  // NOLINT(google-build-using-namespace): a program, not a header
using std::chrono::milliseconds;

constexpr auto examples = R"(
Examples:
  s2cs --listener_ip 127.0.1.1 --port 5000
        a facility on this machine, with its own certificate
  s2cs --listener_ip 192.0.2.10 --client_id ID --client-secret-file FILE
        serve others who have logged in with Globus Auth
  s2cs --listener_ip 192.0.2.10 --issuer https://login.example.org --audience scistream
        serve others with signed tokens of another provider
  s2cs --listener_ip 10.0.0.5 --advertise gateway.example.org:30100 --client-ca site-ca.pem
        behind NAT or a NodePort: others call gateway.example.org, ports from 30100, and have
        certificates of the site
  s2cs check-policy policy.toml
        what a policy file means

Every option --some-name can also be given as environment variable SCISTREAM_SOME_NAME; the
command line comes first. Exit codes: docs/exit-codes.md.
)";

struct Settings {
  control::ControlServerOptions options;
  std::string type;
  std::string port = "5000";
  std::string ports = "5100-5200";
  std::string capacity = "0";
  std::string data_server;
  milliseconds drain{30'000};
  milliseconds orphan_grace{60'000};
  cli::AccessArguments access;
  std::filesystem::path policy;  ///< To check.
};

void add_options(CLI::App& app, Settings& settings) {
  auto& options = settings.options;
  const auto env = [](CLI::Option* option, const char* name) {
    option->envname(std::string("SCISTREAM_") + name);
  };
  env(app.add_option(
             "--listener-ip", options.listener_ip,
             "Address to listen on and to announce; bound if it is local, else every address is")
          ->capture_default_str(),
      "LISTENER_IP");
  env(app.add_option("--port", settings.port, "Control port; 0 takes a free one")
          ->capture_default_str(),
      "PORT");
  env(app.add_option("-t,--type", settings.type, "What forwards; upper or lower case")
          ->type_name(CLI::IsMember(proxy::data_server_kinds()).get_description())
          ->default_str(options.type),
      "TYPE");
  env(app.add_flag("--compat-stunnel", options.compat_stunnel,
                   "StunnelSubprocess as SciStream 1.x has it, to stream with facilities that run "
                   "that: it encrypts nothing"),
      "COMPAT_STUNNEL");
  env(app.add_option("--port-range", settings.ports, "Ports of the sessions' listeners")
          ->capture_default_str(),
      "PORT_RANGE");
  env(app.add_option("--advertise", options.advertise,
                     "HOST[:FIRSTPORT] that others must use, behind NAT or a NodePort"),
      "ADVERTISE");
  env(app.add_option("--wan-ip", options.wan_ip, "Address of producers' listeners [listener-ip]"),
      "WAN_IP");
  env(app.add_option("--lan-ip", options.lan_ip, "Address of consumers' listeners [listener-ip]"),
      "LAN_IP");
  env(cli::add_duration(app, "--timeout", options.timeout,
                        "How long hello may take after req, and update after hello [180s]"),
      "TIMEOUT");
  env(app.add_option("--capacity", settings.capacity, "Mbit/s that can be leased; 0: unlimited")
          ->capture_default_str(),
      "CAPACITY");
  env(cli::add_duration(app, "--max-session", options.max_session,
                        "Longest session after set-up [no limit]"),
      "MAX_SESSION");
  env(cli::add_duration(app, "--idle-limit", options.idle_limit,
                        "End a session after this long without a connection; 0: never [24h]"),
      "IDLE_LIMIT");
  env(app.add_option("--state-dir", options.state_directory,
                     "Folder for certificate, socket and lock [one per address and port in the "
                     "user's state folder]"),
      "STATE_DIR");
  env(app.add_option("--facility-key", options.facility_key,
                     "File with a key that what is kept of sessions is sealed with, made if it is "
                     "not there: for a state folder that others can read"),
      "FACILITY_KEY");
  env(cli::add_duration(
          app, "--orphan-grace", settings.orphan_grace,
          "How long the data server outlives this server and its last connection [60s]"),
      "ORPHAN_GRACE");
  env(cli::add_duration(app, "--drain", settings.drain,
                        "How long a stop waits for live connections [30s]"),
      "DRAIN");
  env(cli::add_switch(app, "--ssl", options.tls,
                      "TLS on the control port; --ssl=False is plaintext"),
      "SSL");
  env(app.add_option(
          "--server-crt", options.server_crt,
          "Certificate, PEM [server.crt here if it and server.key exist, else one of its own]"),
      "SERVER_CRT");
  env(app.add_option("--server-key", options.server_key, "Its private key, PEM"), "SERVER_KEY");
  env(app.add_flag("--require-encryption", options.require_encryption,
                   "Refuse sessions that are not encrypted between the facilities"),
      "REQUIRE_ENCRYPTION");
  env(app.add_option("--ciphersuites", options.ciphersuites,
                     "Of encrypted sessions, by preference: AES-128-GCM, AES-256-GCM, "
                     "ChaCha20-Poly1305")
          ->capture_default_str(),
      "CIPHERSUITES");
  env(cli::add_duration(app, "--flow-idle", options.flow_idle,
                        "A flow of datagrams ends when nothing has moved for so long [60s]")
          ->check([](const std::string& text) {
            const auto idle = cli::parse_duration(text);
            return idle && idle->count() == 0 ? "'" + text + "': a flow needs some time" : "";
          }),
      "FLOW_IDLE");
  env(app.add_option("--data-server", settings.data_server,
                     "Use the data server at unix:PATH or HOST:PORT instead of starting one"),
      "DATA_SERVER");
  env(app.add_option("--data-server-ca", options.data_server_ca,
                     "For mutual TLS with it: its authority, PEM"),
      "DATA_SERVER_CA");
  env(app.add_option("--data-server-crt", options.data_server_crt,
                     "This server's certificate for it, PEM"),
      "DATA_SERVER_CRT");
  env(app.add_option("--data-server-key", options.data_server_key, "Its private key, PEM"),
      "DATA_SERVER_KEY");
  cli::add_container_options(app, options.container);
  cli::add_access_options(app, settings.access, options);
  app.add_flag("-v,--v,--verbose", options.verbose, "Log every state change");
  app.set_version_flag("--version", "s2cs, version: " + std::string(version()));
}

Status complete(const CLI::App& app, Settings& settings) {
  auto& options = settings.options;
  if (options.compat_stunnel) options.type = "StunnelSubprocess";
  if (!settings.type.empty()) options.type = settings.type;
  const auto port = parse_number("--port", settings.port, 0, 65535);
  if (!port) return port.error();
  options.port = static_cast<std::uint16_t>(*port);
  constexpr long long most_capacity = 1'000'000'000;  // a petabit a second
  const auto capacity = parse_number("--capacity", settings.capacity, 0, most_capacity);
  if (!capacity) return capacity.error();
  options.capacity_mbps = static_cast<std::uint64_t>(*capacity);
  const auto range = parse_port_range(settings.ports);
  if (!range) return Error{Cause::invalid_argument, "--port-range: " + range.error().message};
  options.port_range = *range;
  if (!settings.data_server.empty()) {
    options.data_server_place = control::DataServerPlace::remote;
    options.data_server = settings.data_server;
  }
  options.orphan_grace = std::chrono::ceil<std::chrono::seconds>(settings.orphan_grace);
  return cli::complete_access(app, settings.access, options);
}

/// Says what a policy says, so that its author sees what was understood.
Status check_policy(const std::filesystem::path& path) {
  const auto policy = auth::Policy::read(path);
  if (!policy) return policy.error();
  std::printf("%s\n",
              (counted(policy->rules().size(), "rule") + ", the first that fits decides:").c_str());
  int number = 0;
  for (const auth::Rule& rule : policy->rules())
    std::printf("%d. %s\n", ++number, in_words(rule).c_str());
  return {};
}

/// What a stop may take beyond the drain, for which a data server that hangs is waited for and
/// killed.
constexpr std::chrono::seconds stop_takes{20};

/// For the one line that systemctl shows.
std::string in_words(const session::Capacity& capacity) {
  std::string text = counted(capacity.sessions, "session") + ", " +
                     std::to_string(capacity.ports_free) + " of " +
                     std::to_string(capacity.ports_total) + " ports free";
  if (capacity.mbps > 0) {
    text += ", " + std::to_string(capacity.mbps_free) + " of " + std::to_string(capacity.mbps) +
            " Mbit/s free";
  }
  return text + (capacity.has_data_server ? "" : ", no data server answers");
}

Status serve(const CLI::App& app, Settings& settings) {
  if (auto status = complete(app, settings); !status) return status;
  const Logger log = stderr_logger("s2cs", settings.options.verbose);
  const auto warn = [](const char* text) {
    std::fprintf(stderr, "%s%s\n", journal_priority(spdlog::level::warn).c_str(),
                 cli::styled(text, cli::Style::red, STDERR_FILENO).c_str());
  };
  cli::block_signals({SIGINT, SIGTERM, SIGHUP});
  control::ControlServer server(settings.options, log);
  if (auto status = server.start(); !status) return status;
  if (settings.options.compat_stunnel) {
    warn(
        "NOT ENCRYPTED: --compat-stunnel, anyone on the path can read the data; who knows a "
        "session's id can join it");
  }
  if (settings.options.tls) {
    log->info("certificate SHA-256 fingerprint: {}", server.fingerprint());
    const auto own = server.state_directory() / "server.crt";
    if (const auto text = read_file(own); text && *text == server.certificate()) {
      log->info("clients trust this server with --server_cert {}", own.string());
    }
  } else {
    warn("PLAINTEXT: --ssl=False, anyone on the path can read and change the control channel");
  }
  std::printf("s2cs ready on %s\n", to_string(server.endpoint()).c_str());
  std::fflush(stdout);
  cli::notify_systemd("READY=1");
  const cli::Heartbeat heartbeat([&server](cli::Heartbeat::Answer answer) {
    server.ask_capacity([answer = std::move(answer)](const session::Capacity& capacity) {
      answer(in_words(capacity));
    });
  });

  int signal = 0;
  while (signal == 0) {
    signal = cli::wait_signal({SIGINT, SIGTERM, SIGHUP}, std::chrono::hours(1));
    if (signal != SIGHUP) continue;
    signal = 0;
    if (const Status reloaded = server.reload(); reloaded) {
      log->info("policy and audit log reloaded");
    } else {
      log->error("not reloaded, what was in force stays so: {}", reloaded.error().message);
    }
  }
  // systemd would not wait for longer than TimeoutStopSec=, whatever --drain says.
  const std::chrono::microseconds most = settings.drain + stop_takes;
  cli::notify_systemd("STOPPING=1\nEXTEND_TIMEOUT_USEC=" + std::to_string(most.count()));
  log->info("stopping; waiting up to {} s for live connections", settings.drain.count() / 1000);
  auto stopped = std::async(std::launch::async, [&] { server.stop(settings.drain); });
  while (stopped.wait_for(milliseconds(0)) != std::future_status::ready) {
    // A second interrupt does not want to wait.
    if (cli::wait_signal({SIGINT}, milliseconds(20)) == SIGINT) server.hurry();
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  cli::prepare_process();
  cli::raise_descriptor_limit();
  CLI::App app(
      "SciStream control server: keeps a facility's sessions, ports and bandwidth, and runs its "
      "data server.",
      "s2cs");
  app.footer(examples);
  Settings settings;
  add_options(app, settings);
  auto* checking =
      app.add_subcommand("check-policy", "Say what a policy file says, or what is wrong");
  checking->add_option("file", settings.policy, "Policy, TOML")->required();
  const bool json = false;
  return cli::run(
      app, cli::normalized(argc, argv, {"check-policy"}),
      [&] { return checking->parsed() ? check_policy(settings.policy) : serve(app, settings); },
      {json});
}

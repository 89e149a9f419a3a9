// appctrl, the application controller: says Hello beside an application, and starts it.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cli/client_settings.hpp"
#include "cli/command_line.hpp"
#include "cli/signals.hpp"
#include "cli/terminal.hpp"
#include "client/app_controller.hpp"
#include "client/application.hpp"
#include "client/trust.hpp"
#include "scistream/version.hpp"

namespace {

using namespace scistream;  // NOLINT(google-build-using-namespace): a program, not a header

/// Of `appctrl run` for failures that are not the application's.
constexpr int own_failure = 125;
/// How long `appctrl mock` waits for a session that is not there yet.
constexpr std::chrono::seconds mock_patience{5};

constexpr auto examples = R"(
Examples:
  appctrl hello UID gw1.example.org:5000 --role PROD --listen 10.0.0.9:7000 --key-file run7.prod.key
        the instrument listens on 10.0.0.9:7000
  appctrl hello UID gw2.example.org:5000 --role CONS --key-file run7.cons.key
        prints the addresses to connect to
  appctrl run UID gw2.example.org:5000 --role CONS -- ./analysis --connect {host} {port}
        starts the analysis when its side is ready

{listener}, {host}, {port} and {listeners} in the command are filled in; SCISTREAM_LISTENERS,
SCISTREAM_UID and SCISTREAM_ROLE are in its environment. The application key comes from --key-file
or $SCISTREAM_APP_KEY, never from the command line. `run` ends with the application's exit code,
or 125 for a failure of its own. Other exit codes: docs/exit-codes.md.
)";

struct Settings {
  cli::ClientSettings client;
  std::string uid;
  std::string server;
  std::string role;
  std::string listen;
  std::filesystem::path key_file;
  std::string token;  ///< Empty: none.
  std::chrono::milliseconds wait{0};
  std::chrono::milliseconds timeout{180'000};
  std::vector<std::string> command;
};

Result<client::AppHello> hello_of(const Settings& settings) {
  client::AppHello hello;
  hello.uid = settings.uid;
  const auto role = parse_role(settings.role);
  if (!role) return role.error();
  hello.role = *role;
  if (hello.role == Role::consumer && !settings.listen.empty()) {
    return Error{Cause::invalid_argument,
                 "--listen is for --role PROD: a consumer connects to the session's listeners"};
  }
  auto listeners = parse_endpoints(settings.listen);
  if (!listeners) return Error{Cause::invalid_argument, "--listen: " + listeners.error().message};
  hello.listeners = std::move(*listeners);
  hello.patience = settings.wait;
  hello.timeout = settings.timeout;
  const char* variable = std::getenv("SCISTREAM_APP_KEY");
  if (!settings.key_file.empty()) {
    auto key = client::read_key_file(settings.key_file);
    if (!key) return key.error();
    hello.key = std::move(*key);
  } else if (variable != nullptr && *variable != '\0') {
    auto key = Secret::from_hex(variable, key_size);
    if (!key) return Error{Cause::invalid_argument, "$SCISTREAM_APP_KEY: " + key.error().message};
    hello.key = std::move(*key);
  }
  return hello;
}

Result<session::HelloAnswer> say_hello(Settings& settings, bool wait_ready,
                                       cli::Warnings warnings = cli::Warnings::always) {
  auto hello = hello_of(settings);
  if (!hello) return hello.error();
  const auto server = parse_endpoint(settings.server);
  if (!server) return server.error();
  auto options = cli::client_options(settings.client, warnings);
  if (!options) return options.error();
  options->token = settings.token;
  // Whoever has the session's key need not show as well who they are.
  if (!hello->key.empty()) options->tokens.reset();
  hello->wait_ready = wait_ready && hello->role == Role::consumer;
  cli::block_signals({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2});
  client::AppController controller(*options, *server);
  client::Interrupt interrupt;
  const cli::SignalWaiter waiter({SIGINT, SIGTERM, SIGHUP},
                                 [&interrupt](int) { interrupt.trigger(); });
  return controller.hello(*hello, &interrupt);
}

Status hello(Settings& settings) {
  const auto answer = say_hello(settings, false);
  if (!answer) return answer.error();
  if (settings.client.json) {
    std::printf("%s\n", nlohmann::json{{"uid", settings.uid},
                                       {"message", answer->message},
                                       {"listeners", answer->listeners}}
                            .dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
                            .c_str());
    return {};
  }
  for (const std::string& listener : answer->listeners) std::printf("%s\n", listener.c_str());
  return {};
}

/// What the application controllers in the field do, with their words.
Status mock(Settings& settings, const std::string& token, const std::string& ip) {
  if (token != "INVALID_TOKEN" && token != "-") settings.token = token;
  if (const auto role = parse_role(settings.role); role && *role == Role::producer) {
    constexpr std::array<std::uint16_t, 5> ports{5074, 5075, 5076, 37000, 47000};
    for (const std::uint16_t port : ports) {
      const std::string listener = to_string(Endpoint{ip, port});
      if (const auto good = parse_endpoint(listener); !good)
        return Error{Cause::invalid_argument, "the address '" + ip + "': " + good.error().message};
      settings.listen += (settings.listen.empty() ? "" : ",") + listener;
    }
  }
  settings.wait = mock_patience;
  std::printf("AppCtrl: SENDING HELLO\n");
  std::fflush(stdout);
  const auto answer = say_hello(settings, false, cli::Warnings::verbose_only);
  if (!answer) {
    std::printf("Error sending hello message: %s\n", answer.error().message.c_str());
    return answer.error();
  }
  std::printf("AppCtrl: Hello sent\nCreated AppCtrl instance\n");
  return {};
}

/// The process's exit code.
int run(Settings& settings) {
  const auto fail = [&settings](const Error& error) {
    if (settings.client.json) {
      std::printf("%s\n", cli::error_document(error, settings.uid).c_str());
    }
    cli::print_error("appctrl", error);
    return own_failure;
  };
  const auto answer = say_hello(settings, true);
  if (!answer) return fail(answer.error());
  const auto words = client::fill_placeholders(settings.command, answer->listeners);
  if (!words) return fail(words.error());
  const auto code = client::run_application(*words, answer->listeners, settings.uid, settings.role,
                                            {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2},
                                            {"SCISTREAM_APP_KEY", "SCISTREAM_TOKEN"});
  if (!code) return fail(code.error());
  return *code;
}

void add_options(CLI::App& command, Settings& settings) {
  command.add_option("uid", settings.uid, "The session's id")->required();
  command.add_option("s2cs", settings.server, "This facility's control server, HOST:PORT")
      ->required();
  command.add_option("--role", settings.role, "PROD: the application listens; CONS: it connects")
      ->type_name("{PROD,CONS}")
      ->required();
  command.add_option("--listen", settings.listen,
                     "PROD: where the application listens, HOST:PORT,…");
  command.add_option("--key-file", settings.key_file,
                     "The session's application key of this facility");
  cli::add_duration(command, "--wait", settings.wait,
                    "Wait this long for a session that is not there yet [0]");
  cli::add_duration(command, "--timeout", settings.timeout,
                    "How long the other side may take [180s]");
  cli::add_client_options(command, settings.client);
}

}  // namespace

int main(int argc, char** argv) {
  cli::prepare_process();
  CLI::App app(
      "SciStream application controller: announces an application to its facility, and starts it.",
      "appctrl");
  app.footer(examples);
  app.set_version_flag("--version", "appctrl, version: " + std::string(version()));
  app.require_subcommand(1);
  Settings settings;
  CLI::App* greeting = app.add_subcommand("hello", "Say Hello and print the listeners");
  add_options(*greeting, settings);
  CLI::App* running = app.add_subcommand("run", "Say Hello, then start the application");
  add_options(*running, settings);
  running->add_option("command", settings.command, "-- CMD ARGS")->required();
  std::string token;
  std::string ip = "127.0.0.1";
  CLI::App* mocking = app.add_subcommand(
      "mock", "Say Hello for the five ports that scripts in the field use, and start nothing");
  mocking->add_option("uid", settings.uid, "The session's id")->required();
  mocking->add_option("s2cs", settings.server, "This facility's control server, HOST:PORT")
      ->required();
  mocking->add_option("token", token, "An access token, or INVALID_TOKEN for none")->required();
  mocking->add_option("role", settings.role, "As --role of hello")
      ->type_name("{PROD,CONS}")
      ->required();
  mocking->add_option("ip", ip, "Where the application listens")->capture_default_str();
  cli::add_client_options(*mocking, settings.client);
  int code = 0;
  const int failed = cli::run(
      app, cli::normalized(argc, argv, {"hello", "run", "mock"}),
      [&] {
        if (greeting->parsed()) return hello(settings);
        if (mocking->parsed()) return mock(settings, token, ip);
        code = run(settings);
        return Status();
      },
      {settings.client.json, &settings.uid}, cli::known_sessions);
  if (failed != 0) return running->parsed() || running->count() > 0 ? own_failure : failed;
  return code;
}

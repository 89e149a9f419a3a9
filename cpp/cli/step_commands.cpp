#include "cli/step_commands.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/command_line.hpp"
#include "cli/signals.hpp"
#include "client/session_book.hpp"
#include "client/session_keys.hpp"
#include "client/token_store.hpp"
#include "client/trust.hpp"

namespace scistream::cli {

namespace {

using client::HalfStep;

/// The id that `--mock` stands for everywhere.
constexpr const char* mock_uid = "4f8583bc-a4d3-11ee-9fd6-034d1fcbd7c3";
/// What stands in the place of a token when there is none.
constexpr const char* no_token = "INVALID_TOKEN";
/// And of one that there is.
constexpr const char* hidden_token = "-";

/// `['a', 'b']`
std::string quoted(const std::vector<std::string>& texts) {
  std::string all = "[";
  for (const std::string& text : texts) all += (all.size() > 1 ? ", '" : "'") + text + "'";
  return all + "]";
}

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

/// host:port of each of `ports`, a comma list.
Result<std::vector<std::string>> addresses(const std::string& host, const std::string& ports) {
  std::vector<std::string> all;
  std::size_t begin = 0;
  while (!ports.empty() && begin <= ports.size()) {
    const auto end = std::min(ports.find(',', begin), ports.size());
    const auto port = parse_number("port", ports.substr(begin, end - begin), 1, 65535);
    if (!port) return Error{Cause::invalid_argument, "--receiver-ports: " + port.error().message};
    const auto text = to_string(Endpoint{host, static_cast<std::uint16_t>(*port)});
    if (const auto endpoint = parse_endpoint(text); !endpoint)
      return Error{Cause::invalid_argument, "--remote-ip: " + endpoint.error().message};
    all.push_back(text);
    begin = end + 1;
  }
  return all;
}

/// Scripts in the field name a scope to facilities that do not ask for one.
void forget_scope_without_login(client::ClientOptions& options, const Endpoint& server) {
  if (options.scope.empty() || options.tokens->token_for(server, options.scope)) return;
  const auto login = client::TokenStore::of_user(options.state_directory).find(options.scope);
  if (login && !*login) options.scope.clear();
}

}  // namespace

const std::vector<std::string>& StepCommands::names() {
  static const std::vector<std::string> all{"prod-req", "cons-req", "inbound-request",
                                            "outbound-request"};
  return all;
}

StepCommands::StepCommands(CLI::App& app, ClientSettings& client, std::string& uid)
    : client_(client), uid_(uid) {
  add(app, "prod-req", "Request the producer's half; its app controller says Hello",
      {nullptr, Role::producer, false, nullptr});
  add(app, "cons-req", "Request the consumer's half; its app controller says Hello",
      {nullptr, Role::consumer, false, nullptr});
  add(app, "inbound-request", "Request the producer's half for an application at --remote-ip",
      {nullptr, Role::producer, true, nullptr});
  add(app, "outbound-request", "Request the consumer's half and say Hello for its application",
      {nullptr, Role::consumer, true, nullptr});
}

void StepCommands::add(CLI::App& app, const char* name, const char* description, Command command) {
  command.app = app.add_subcommand(name, description);
  CLI::App& own = *command.app;
  const bool consumer = command.role == Role::consumer;
  if (consumer) {
    own.add_option("uid", uid_, "The session's id, of the producer's half")->required();
    own.add_option("prod-lstn", prod_listeners_, "The producer facility's listeners, HOST:PORT,…")
        ->required();
  }
  own.add_option("--num-conn", num_conn_, "Listeners; each takes any number of connections")
      ->capture_default_str();
  command.rate = own.add_option("--rate", rate_, "Mbit/s of payload each way; 0: best effort")
                     ->capture_default_str();
  own.add_option("--s2cs", client_.s2cs,
                 consumer && !command.says_hello
                     ? "The facility's control server [localhost:6000]"
                     : "The facility's control server [localhost:5000]");
  add_switch(own, "--mock", mock_, std::string("Use the id ") + mock_uid);
  add_token_options(own, client_);
  own.add_option(
         "--transport", transport_,
         "Of the bytes between the facilities: tcp (plain) or tls (encrypted); the same for "
         "both halves")
      ->check(CLI::IsMember({"tcp", "tls"}))
      ->capture_default_str();
  own.add_option("--protocol", protocol_, protocol_help)
      ->check(CLI::IsMember({"tcp", "udp"}))
      ->capture_default_str();
  own.add_option("--data-key-file", data_key_file_,
                 consumer ? "The key of transport tls, as the producer's half made it [under the "
                            "session's id in the state folder]"
                          : "Where to keep the key of transport tls [under the session's id in "
                            "the state folder]");
  add_duration(own, "--timeout", timeout_, "Give up when it is not set up within this [190s]");
  if (command.says_hello) {
    own.add_option("--remote-ip", remote_ip_, "Host of the application")->capture_default_str();
    auto* ports =
        own.add_option("--receiver-ports", receiver_ports_, "Ports of the application, PORT,…");
    if (!consumer) ports->required();
  }
  add_client_options(own, client_);
  commands_.push_back(std::make_unique<Command>(command));
}

bool StepCommands::parsed() const {
  return std::any_of(commands_.begin(), commands_.end(),
                     [](const auto& command) { return command->app->parsed(); });
}

Result<Secret> StepCommands::data_key(Role role) {
  if (transport_ == "tcp") {
    if (data_key_file_.empty()) return Secret();
    return Error{Cause::invalid_argument, "--data-key-file is for --transport tls"};
  }
  if (const auto server = parse_endpoint(client_.s2cs)) {
    auto allowed = client::keys_may_travel(client_.tls, *server, *server);
    if (!allowed) return allowed.error();
  }
  choose_state_directory(client_);
  const auto path = data_key_file_.empty() ? client::data_key_path(client_.state_directory, uid_)
                                           : data_key_file_;
  if (role == Role::producer) {
    client::SessionBook(client_.state_directory).touch(uid_);  // as of other keys
    bool made = false;
    auto key = client::make_data_key(path, made);
    if (key && made) {
      made_key_file_ = path;
    } else if (key) {
      std::fprintf(stderr, "s2uc: uses the data key that '%s' holds already\n", path.c_str());
    }
    return key;
  }
  auto key = client::read_key_file(path);
  if (!key && key.error().cause == Cause::not_found) {
    return Error{Cause::not_found,
                 "there is no data key '" + path.string() +
                     "': request the producer's half with --transport tls first, or name its key "
                     "with --data-key-file"};
  }
  return key;
}

Status StepCommands::run() {
  const auto given = std::find_if(commands_.begin(), commands_.end(),
                                  [](const auto& command) { return command->app->parsed(); });
  const Command& command = **given;
  const bool consumer = command.role == Role::consumer;
  if (client_.s2cs.empty())
    client_.s2cs = consumer && !command.says_hello ? "localhost:6000" : "localhost:5000";
  const auto server = parse_endpoint(client_.s2cs);
  if (!server) return Error{Cause::invalid_argument, "--s2cs: " + server.error().message};
  if (auto status = check_amounts(num_conn_, rate_); !status) return status;
  client::HalfRequest request;
  if (!consumer) uid_ = mock_ ? mock_uid : random_uid();
  request.uid = uid_;
  if (auto status = check_uid(request.uid); !status) return status;
  request.role = command.role;
  request.num_conn = num_conn_;
  request.rate = {rate_, command.rate->count() > 0};
  request.timeout = timeout_;
  if (command.says_hello) {
    auto application = addresses(remote_ip_, receiver_ports_);
    if (!application) return application.error();
    request.hello = std::move(*application);
  }
  if (consumer) {
    auto targets = parse_endpoints(prod_listeners_);
    if (!targets) return Error{Cause::invalid_argument, "PROD_LSTN: " + targets.error().message};
    if (targets->empty()) return Error{Cause::invalid_argument, "PROD_LSTN is empty"};
    request.targets = std::move(*targets);
  }
  block_signals({SIGINT, SIGTERM, SIGHUP});
  auto options = client_options(client_, Warnings::verbose_only);
  if (!options) return options.error();
  forget_scope_without_login(*options, *server);
  auto key = data_key(command.role);
  if (!key) return key.error();
  request.transport = transport_;
  request.protocol = protocol_;
  request.data_key = std::move(*key);

  const bool text = !client_.json;
  const auto line = [text](const std::string& words) {
    if (text) say(words);
  };
  client::UserClient client(*options);
  const auto token = client.token_for(*server);
  const char* const shown = token && token->empty() ? no_token : hidden_token;
  line("uid; s2cs; access_token; role");
  line(uid_ + " " + client_.s2cs + " " + shown + " " + std::string(to_string(command.role)));
  if (!consumer && command.says_hello) {
    line("sending client request message");
    line("started client request");
    line("waiting for hello message");
    line("sending for hello message");
  } else if (!consumer) {
    line("waiting for hello message");
    line("started client request");
  } else {
    line("started client request");
    line("waiting for hello message");
  }
  client::Interrupt interrupt;
  HalfStep failed_at{};
  // The controller's hello shows only in the answer to the request.
  const HalfStep greeted = command.says_hello ? HalfStep::hello : HalfStep::request;
  const bool reports_hello = command.says_hello || consumer;
  Result<client::HalfResult> result = Error{};
  {
    const SignalWaiter waiter({SIGINT, SIGTERM, SIGHUP},
                              [&interrupt](int) { interrupt.trigger(); });
    result = client.request_half(
        *server, std::move(request),
        [&](HalfStep step) {
          if (step == greeted && reports_hello) line("Hello message sent successfully");
          if (client_.verbose)
            std::fprintf(stderr, "Current state: %s\n",
                         step == HalfStep::update ? "idle" : "updating");
        },
        &interrupt, &failed_at);
  }
  if (!result) {
    std::error_code ignored;
    if (!made_key_file_.empty()) std::filesystem::remove(made_key_file_, ignored);
    const std::string& why = result.error().message;
    if (failed_at == HalfStep::hello) line("Error sending hello message: " + why);
    if (failed_at == HalfStep::request) line("Request Failed, no Hello response");
    if (failed_at == HalfStep::update) line("Error during update: " + why);
    return result.error();
  }
  if (!text) {
    say(nlohmann::json{{"uid", uid_},
                       {"role", to_string(command.role)},
                       {"listeners", result->listeners},
                       {"prod_listeners", result->prod_listeners}}
            .dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else if (reports_hello) {
    say("Listeners: " + quoted(result->listeners));
  } else {
    for (const std::string& listener : result->listeners) say("listeners: \"" + listener + "\"");
    for (const std::string& listener : result->prod_listeners)
      say("prod_listeners: \"" + listener + "\"");
    say("");
    say(quoted(result->listeners));
  }
  return {};
}

}  // namespace scistream::cli

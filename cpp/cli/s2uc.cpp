// s2uc, the user client: sessions between two facilities.
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/text.hpp"
#include "cli/command_line.hpp"
#include "cli/doctor_command.hpp"
#include "cli/login_command.hpp"
#include "cli/request_command.hpp"
#include "cli/session_views.hpp"
#include "cli/signals.hpp"
#include "cli/step_commands.hpp"
#include "cli/terminal.hpp"
#include "cli/trust_command.hpp"
#include "scistream/version.hpp"

namespace {

using namespace scistream;  // NOLINT(google-build-using-namespace): a program, not a header
using nlohmann::json;

constexpr auto examples = R"(
Examples:
  s2uc request --prod gw1.example.org:5000 --cons gw2.example.org:5000 --prod-app 10.0.0.9:7000
        a session for a producer application that listens on 10.0.0.9:7000
  s2uc request --prod gw1:5000 --cons gw2:5000 --num-conn 4 --session-file run7.json
        wait for the application controllers of both sides to say Hello
  s2uc status UID        s2uc watch UID        s2uc release UID
  s2uc login --scope SCOPE --s2cs gw1.example.org:5000
        as whom that control server knows you
  s2uc trust gw1.example.org:5000
        the certificate that its facility tells you about is its own, from now on
  s2uc doctor gw1.example.org:5000
        which of name, network, certificate, clock and login keeps you out
  s2uc rate UID 20000
        from now on 20 Gbit/s each way, all connections together; 0 is best effort

--server_cert takes one PEM file for both facilities' certificates. Exit codes: docs/exit-codes.md.
)";

json documents_of(const client::Silent& silent) {
  json documents = json::array();
  for (const auto& [server, error] : silent)
    documents.push_back({{"s2cs", to_string(server)}, {"message", error.message}});
  return documents;
}

std::vector<std::string> requested_at(const Endpoint& server, const client::SessionList& list) {
  std::vector<std::string> uids;
  for (const auto& session : list.sessions)
    if (std::find(session.servers.begin(), session.servers.end(), server) != session.servers.end())
      uids.push_back(session.uid);
  return uids;
}

Status list_sessions(cli::ClientSettings& settings) {
  auto options = cli::client_options(settings);
  if (!options) return options.error();
  client::UserClient client(*options);
  const auto list = client.sessions();
  if (!list) return list.error();
  std::vector<session::SessionView> views;
  for (const auto& session : list->sessions) client::merge(views, session.views);
  Status failed;
  for (const auto& [server, error] : list->silent) {
    std::string message = error.message + "; sessions requested there:";
    for (const std::string& uid : requested_at(server, *list)) message += " " + uid;
    cli::print_error("s2uc", {error.cause, message});
    failed = error;
  }
  if (settings.json) {
    json errors = documents_of(list->silent);
    for (std::size_t i = 0; i < errors.size(); ++i)
      errors[i]["uids"] = requested_at(list->silent[i].first, *list);
    json sessions = json::array();
    for (const auto& view : views) sessions.push_back(cli::to_json(view));
    std::printf("%s\n", json{{"sessions", sessions}, {"errors", errors}}
                            .dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
                            .c_str());
  } else if (views.empty()) {
    if (failed) std::printf("no sessions\n");
  } else {
    std::fputs(cli::session_table(views, STDOUT_FILENO).c_str(), stdout);
  }
  // What could be learnt is on stdout; the code says that it is not all.
  return failed ? Status() : cli::already_reported(failed);
}

Status show_status(cli::ClientSettings& settings, const std::string& uid, bool connections) {
  if (auto status = check_uid(uid); !status) return status;
  auto options = cli::client_options(settings);
  if (!options) return options.error();
  client::UserClient client(*options);
  const auto places = cli::places_of(settings, client, uid);
  if (!places) return places.error();
  client::Silent silent;
  const auto detail = connections ? session::Detail::connections : session::Detail::session;
  const auto views = client.status(uid, *places, detail, &silent);
  if (!views) return views.error();
  if (settings.json) {
    json sessions = json::array();
    for (const auto& view : *views) {
      sessions.push_back(cli::to_json(view));
      if (!connections) continue;
      json& shown = sessions.back()["connections"] = json::array();
      for (const auto& connection : view.connections) shown.push_back(cli::to_json(connection));
    }
    std::printf("%s\n", json{{"uid", uid}, {"sessions", sessions}, {"errors", documents_of(silent)}}
                            .dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
                            .c_str());
  } else {
    std::fputs(cli::session_table(*views, STDOUT_FILENO).c_str(), stdout);
    if (connections) std::fputs(cli::connection_table(*views, STDOUT_FILENO).c_str(), stdout);
  }
  for (const auto& [server, error] : silent) cli::print_error("s2uc", error);
  return silent.empty() ? Status() : cli::already_reported(silent.front().second);
}

Status set_rate(cli::ClientSettings& settings, const std::string& uid, long long mbps) {
  auto options = cli::client_options(settings);
  if (!options) return options.error();
  client::UserClient client(*options);
  const auto places = cli::places_of(settings, client, uid);
  if (!places) return places.error();
  const auto leased = client.set_rate(uid, mbps, *places);
  if (!leased) return leased.error();
  if (settings.json) {
    std::printf(
        "%s\n",
        json{{"uid", uid}, {"rate_mbps", mbps}, {"rate_is_leased", *leased}}.dump(2).c_str());
  } else {
    const std::string rate = mbps == 0 ? "best effort" : std::to_string(mbps) + " Mbit/s each way";
    std::printf("session %s: %s%s\n", uid.c_str(), rate.c_str(), *leased ? ", leased" : "");
  }
  return {};
}

Status watch(cli::ClientSettings& settings, const std::string& uid) {
  if (auto status = check_uid(uid); !status) return status;
  auto options = cli::client_options(settings);
  if (!options) return options.error();
  client::UserClient client(*options);
  return cli::watch_session(settings, client, uid, stdout);
}

Status show_info(cli::ClientSettings& settings) {
  auto options = cli::client_options(settings);
  if (!options) return options.error();
  const auto server = parse_endpoint(settings.s2cs);
  if (!server) return server.error();
  client::UserClient client(*options);
  const auto info = client.info(*server);
  if (!info) return info.error();
  const auto& capacity = info->capacity;
  if (settings.json) {
    std::printf("%s\n", json{{"version", info->version},
                             {"data_server_kinds", info->data_server_kinds},
                             {"data_server_version", info->data_server_version},
                             {"transports", info->transports},
                             {"ports_total", capacity.ports_total},
                             {"ports_free", capacity.ports_free},
                             {"capacity_mbps", capacity.mbps},
                             {"capacity_free_mbps", capacity.mbps_free},
                             {"sessions", capacity.sessions}}
                            .dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
                            .c_str());
    return {};
  }
  std::string data_servers = listed(info->data_server_kinds);
  // Of the native one it is the server's own.
  if (info->data_server_version != info->version && !info->data_server_version.empty())
    data_servers += " " + info->data_server_version;
  const std::string bandwidth = capacity.mbps == 0
                                    ? "unlimited"
                                    : std::to_string(capacity.mbps_free) + " of " +
                                          std::to_string(capacity.mbps) + " Mbit/s free";
  std::fputs(cli::table({{"S2CS", "VERSION", "DATA SERVERS", "TRANSPORTS", "PORTS", "BANDWIDTH",
                          "SESSIONS"},
                         {settings.s2cs, info->version, data_servers, listed(info->transports),
                          std::to_string(capacity.ports_free) + " of " +
                              std::to_string(capacity.ports_total) + " free",
                          bandwidth, std::to_string(capacity.sessions)}},
                        STDOUT_FILENO)
                 .c_str(),
             stdout);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  cli::prepare_process();
  CLI::App app(
      "SciStream user client: sets up, shows and releases sessions between two facilities.",
      "s2uc");
  app.footer(examples);
  app.set_version_flag("--version", "s2uc, version " + std::string(version()));
  app.require_subcommand(0, 1);

  cli::ClientSettings client;
  client.s2cs = "";
  cli::RequestSettings request;
  request.client = &client;
  std::string& uid = request.request.uid;  // the one every command is about
  cli::add_client_options(app, client);
  app.add_option("--req-file", request.req_file,
                 "Do what this JSON file says, as in `s2uc request --req-file`");

  const auto with_uid = [&](CLI::App* command) {
    command->add_option("uid", uid, "The session's id")->required();
    cli::add_place_options(*command, client);
    cli::add_client_options(*command, client);
    cli::add_token_options(*command, client);
    return command;
  };
  CLI::App* requesting =
      app.add_subcommand("request", "Set up a whole session between two facilities");
  cli::add_client_options(*requesting, client);
  cli::add_token_options(*requesting, client);
  requesting->add_option("--prod", client.prod,
                         "Control server of the producer's facility, HOST:PORT");
  requesting->add_option("--cons", client.cons,
                         "Control server of the consumer's facility, HOST:PORT");
  cli::add_request_options(*requesting, request);
  CLI::App* releasing = with_uid(app.add_subcommand("release", "End a session at both facilities"));
  bool drain = false;
  releasing->add_flag("--drain", drain,
                      "Close the listeners only, and wait until the last connection has ended");
  bool forget = false;
  releasing->add_flag("--forget", forget,
                      "If a control server cannot be reached, know nothing of it any more");
  CLI::App* rating =
      with_uid(app.add_subcommand("rate", "Give a session another rate; live connections notice"));
  long long mbps = 0;
  rating
      ->add_option("mbps", mbps,
                   "Mbit/s of the applications' bytes each way, all connections together; 0: best "
                   "effort")
      ->required();
  CLI::App* showing = with_uid(app.add_subcommand("status", "Show a session"));
  bool connections = false;
  showing->add_flag("--connections", connections, "Its live connections as well");
  const CLI::App* watching =
      with_uid(app.add_subcommand("watch",
                                  "Show a session live until it ends or Ctrl-C; with "
                                  "--json, one document a line"));
  CLI::App* listing = app.add_subcommand("list", "Show the sessions requested from here");
  cli::add_client_options(*listing, client);
  cli::add_token_options(*listing, client);
  CLI::App* asking = app.add_subcommand("info", "Show what a control server is and has left");
  cli::add_client_options(*asking, client);
  cli::add_token_options(*asking, client);
  asking->add_option("--s2cs", client.s2cs, "Control server, HOST:PORT")->required();
  cli::TrustSettings trust;
  const CLI::App* trusting = cli::add_trust_command(app, trust, client);
  std::string to_examine;
  CLI::App* examining = app.add_subcommand(
      "doctor", "Find out why a control server cannot be used, and what to do about it");
  examining->add_option("server", to_examine, "Control server, HOST:PORT")->required();
  cli::add_client_options(*examining, client);
  cli::add_token_options(*examining, client);
  cli::LoginSettings login;
  cli::LoginCommands logins(app, login, client);
  cli::StepCommands steps(app, client, uid);

  std::vector<std::string> commands{"request", "release", "rate", "status",
                                    "watch",   "list",    "info", "trust"};
  commands.insert(commands.end(), cli::StepCommands::names().begin(),
                  cli::StepCommands::names().end());
  commands.insert(commands.end(), cli::LoginCommands::names().begin(),
                  cli::LoginCommands::names().end());
  bool lines = false;
  return cli::run(
      app, cli::normalized(argc, argv, commands),
      [&] {
        lines = watching->parsed();
        if (steps.parsed()) return steps.run();
        if (logins.parsed()) return logins.run();
        if (requesting->parsed()) return cli::request_session(request);
        if (releasing->parsed()) return cli::release_session(client, uid, {drain, forget});
        if (rating->parsed()) return set_rate(client, uid, mbps);
        if (showing->parsed()) return show_status(client, uid, connections);
        if (watching->parsed()) return watch(client, uid);
        if (listing->parsed()) return list_sessions(client);
        if (asking->parsed()) return show_info(client);
        if (examining->parsed()) return cli::examine_server(to_examine, client);
        if (trusting->parsed()) return cli::trust_server(trust, client);
        if (!request.req_file.empty()) return cli::run_req_file(request);
        return Status(Error{Cause::invalid_argument, "say what to do; see --help"});
      },
      {client.json, &uid, &lines}, cli::known_sessions);
}

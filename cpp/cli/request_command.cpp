#include "cli/request_command.hpp"

#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/file.hpp"
#include "cli/command_line.hpp"
#include "cli/req_file.hpp"
#include "cli/session_files.hpp"
#include "cli/session_views.hpp"
#include "cli/signals.hpp"
#include "cli/terminal.hpp"
#include "client/session_book.hpp"
#include "client/trust.hpp"

namespace scistream::cli {

namespace {

using nlohmann::json;

Error invalid(std::string message) { return {Cause::invalid_argument, std::move(message)}; }

double milliseconds_of(std::chrono::microseconds time) {
  return static_cast<double>(time.count()) / 1e3;
}

json document_of(const client::SessionResult& result, const client::SessionKeys& keys,
                 const std::string& session_file) {
  json states = json::array();
  for (const auto& change : result.states) {
    states.push_back({{"state", to_string(change.state)}, {"ms", milliseconds_of(change.at)}});
  }
  json document{{"uid", result.uid},
                {"listeners", result.listeners},
                {"prod_listeners", result.prod_listeners},
                {"targets", result.targets},
                {"setup_ms", milliseconds_of(result.setup)},
                {"transport", result.transport},
                {"states", std::move(states)}};
  if (!keys.prod.empty()) {
    document["prod_key_file"] = keys.prod_file.string();
    document["cons_key_file"] = keys.cons_file.string();
  }
  if (!session_file.empty()) document["session_file"] = session_file;
  return document;
}

Status complete(RequestSettings& settings) {
  auto& request = settings.request;
  if (settings.client->prod.empty() || settings.client->cons.empty()) {
    return invalid("--prod and --cons name the two facilities' control servers; one is missing");
  }
  if (request.uid.empty()) request.uid = random_uid();
  if (auto status = check_uid(request.uid); !status) return status;
  if (auto status = check_amounts(request.num_conn, settings.rate); !status) return status;
  request.rate = {settings.rate,
                  settings.rate_option != nullptr && settings.rate_option->count() > 0};
  auto apps = parse_endpoints(settings.prod_app);
  if (!apps) return Error{Cause::invalid_argument, "--prod-app: " + apps.error().message};
  request.prod_app = std::move(*apps);
  for (const std::string& label : settings.labels) {
    try {
      (void)json(label).dump();
    } catch (const json::exception&) {
      return invalid("a --label is not UTF-8 text");
    }
    const auto equals = label.find('=');
    if (equals == 0 || equals == std::string::npos)
      return invalid("--label '" + label + "' is not KEY=VALUE");
    request.labels[label.substr(0, equals)] = label.substr(equals + 1);
  }
  return {};
}

void print_result(const client::SessionResult& result, bool datagrams) {
  std::printf("%s %s\n", styled("uid", Style::bold, STDOUT_FILENO).c_str(), result.uid.c_str());
  std::printf("the consumer application connects to\n");
  for (const std::string& listener : result.listeners) std::printf("  %s\n", listener.c_str());
  if (datagrams && result.transport == "tls")
    std::printf("its datagrams travel inside the encrypted channel between the facilities\n");
  std::printf("set up in %.1f ms\n", milliseconds_of(result.setup));
}

}  // namespace

void add_request_options(CLI::App& app, RequestSettings& settings) {
  app.add_option("--num-conn", settings.request.num_conn,
                 "Listeners; each takes any number of connections")
      ->capture_default_str();
  settings.rate_option = app.add_option("--rate", settings.rate,
                                        "Mbit/s of payload each way to reserve; 0: best effort")
                             ->capture_default_str();
  app.add_option("--transport", settings.request.transport,
                 "Of the bytes between the facilities: tls (encrypted), tcp (plain), or auto: tls, "
                 "or fail")
      ->check(CLI::IsMember({"auto", "tls", "tcp"}))
      ->capture_default_str();
  app.add_option("--protocol", settings.request.protocol, protocol_help)
      ->check(CLI::IsMember({"tcp", "udp"}))
      ->capture_default_str();
  app.add_flag("--proxy-protocol", settings.request.proxy_protocol,
               "Tell the producer application who has connected to its gateway, most often the "
               "consumer's: each connection begins with a header "
               "of the PROXY protocol, which it must know");
  app.add_option("--prod-app", settings.prod_app,
                 "Where the producer application listens, HOST:PORT,…; without it, wait for the "
                 "app controllers");
  app.add_option("--label", settings.labels,
                 "KEY=VALUE, such as job or experiment; may be repeated");
  add_duration(app, "--for", settings.request.lifetime,
               "End the session this long after set-up [never; 0: never]");
  add_duration(app, "--timeout", settings.request.timeout,
               "Give up when it is not set up within this [190s]");
  app.add_option("--uid", settings.request.uid, "The session's id [a random UUID]");
  app.add_option("--session-file", settings.session_file,
                 "Write id, servers and key files here at once, as JSON, mode 0600");
  app.add_option("--req-file", settings.req_file,
                 "Do what this JSON file says: {\"cmd\":\"REQ\",…} or {\"cmd\":\"REL\",…}");
  CLI::Option* const watch =
      app.add_flag("--watch", settings.watch, "Then show it live until it ends or Ctrl-C");
  app.add_flag("--release-on-exit", settings.release_on_exit, "Release it when --watch ends")
      ->needs(watch);
}

Status request_session(RequestSettings& settings) {
  if (!settings.req_file.empty()) return run_req_file(settings);
  if (auto status = complete(settings); !status) return status;
  auto& local = *settings.client;
  const auto prod = parse_endpoint(local.prod);
  if (!prod) return Error{Cause::invalid_argument, "--prod: " + prod.error().message};
  const auto cons = parse_endpoint(local.cons);
  if (!cons) return Error{Cause::invalid_argument, "--cons: " + cons.error().message};
  choose_state_directory(local);
  // From here on an interrupt finds what there is to undo.
  block_signals({SIGINT, SIGTERM, SIGHUP});

  auto& request = settings.request;
  const client::SessionBook book(local.state_directory);
  const bool was_there = book.find(request.uid).ok();
  client::SessionKeys keys;
  if (client::keys_may_travel(local.tls, *prod, *cons)) {
    if (auto status = make_private_directory(local.state_directory); !status) return status;
    // Keys of an earlier session of this id are used again: nobody forgets them now.
    book.touch(request.uid);
    auto made = client::make_session_keys(local.state_directory, request.uid);
    if (!made) return made.error();
    keys = std::move(*made);
    request.prod_app_key = keys.prod;
    request.cons_app_key = keys.cons;
  }
  // Keys that were there before belong to a session requested earlier, which needs them.
  std::optional<SessionFile> file;
  const auto undo = [&] {
    if (keys.made) client::forget_session_keys(local.state_directory, request.uid);
    if (file) file->undo();
  };
  if (!settings.session_file.empty()) {
    auto written =
        SessionFile::write(settings.session_file, request.uid, local.prod, local.cons, keys);
    if (!written) {
      undo();
      return written.error();
    }
    file = std::move(*written);
  }
  std::fprintf(
      stderr, "session %s%s%s\n", request.uid.c_str(),
      keys.prod.empty() ? ", no application keys over plaintext" : "; application keys: ",
      keys.prod.empty() ? "" : (keys.prod_file.string() + ", " + keys.cons_file.string()).c_str());

  auto options = client_options(local);
  if (!options) {
    undo();
    return options.error();
  }
  client::UserClient client(*options);
  const std::string uid = request.uid;
  FILE* const states = local.json ? stderr : stdout;
  Result<client::SessionResult> result = Error{};
  {
    client::Interrupt interrupt;
    const SignalWaiter waiter({SIGINT, SIGTERM, SIGHUP},
                              [&interrupt](int) { interrupt.trigger(); });
    result = client.request(
        *prod, *cons, request,
        [states](const client::StateChange& change) {
          std::fprintf(states, "Current state: %s\n", std::string(to_string(change.state)).c_str());
          std::fflush(states);
        },
        &interrupt);
  }
  if (!result) {
    undo();
    return result.error();
  }
  if (local.json) {
    std::printf("%s\n", document_of(*result, keys, settings.session_file)
                            .dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
                            .c_str());
  } else {
    print_result(*result, settings.request.protocol == "udp");
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    const std::string unwritten = "cannot write to stdout; session " + uid;
    // Without its addresses it is of no use; but an earlier request may have got them.
    if (was_there) return Error{Cause::failure, unwritten + " is there"};
    if (auto status = client.release(uid, {*prod, *cons}); !status)
      return Error{Cause::failure, unwritten + " is there still: " + status.error().message};
    undo();
    return Error{Cause::failure, unwritten + " is released"};
  }
  if (!settings.watch) return {};
  Status watched = watch_session(local, client, uid, local.json ? stderr : stdout);
  if (settings.release_on_exit) {
    const Status released = client.release(uid, {*prod, *cons});
    if (!released && released.error().cause != Cause::not_found) watched = released;
  }
  if (watched || !local.json) return watched;
  // The one document is there already.
  print_error("s2uc", watched.error());
  return already_reported(watched);
}

Status run_req_file(RequestSettings& settings) {
  const auto text = read_file(settings.req_file);
  if (!text) return text.error();
  const auto file = parse_req_file(*text);
  if (!file) return invalid("'" + settings.req_file.string() + "': " + file.error().message);
  settings.req_file.clear();
  if (file->prod) settings.client->prod = *file->prod;
  if (file->cons) settings.client->cons = *file->cons;
  if (file->release) return release_session(*settings.client, *file->uid, {});
  if (file->uid) settings.request.uid = *file->uid;
  if (file->num_conn) settings.request.num_conn = *file->num_conn;
  if (file->rate_mbps) settings.rate = *file->rate_mbps;
  if (file->prod_app) settings.prod_app = *file->prod_app;
  if (file->transport) settings.request.transport = *file->transport;
  return request_session(settings);
}

Status release_session(ClientSettings& settings, const std::string& uid, const Ending& how) {
  if (auto status = check_uid(uid); !status) return status;
  auto options = client_options(settings, Warnings::verbose_only);
  if (!options) return options.error();
  client::UserClient client(*options);
  const auto places = places_of(settings, client, uid);
  if (!places && places.error().cause != Cause::not_found) return places.error();
  // Without another place scripts in the field mean the control server beside them.
  const std::vector<Endpoint> beside{{"localhost", 5000}};
  const std::vector<Endpoint>& servers = places ? *places : beside;
  const auto end = [&] {
    if (!how.drain) return client.release(uid, servers);
    block_signals({SIGINT, SIGTERM, SIGHUP});
    client::Interrupt interrupt;
    const SignalWaiter waiter({SIGINT, SIGTERM, SIGHUP},
                              [&interrupt](int) { interrupt.trigger(); });
    Status drained = client.drain(uid, servers, &interrupt);
    if (!drained && drained.error().cause == Cause::cancelled) {
      return Status(Error{Cause::cancelled,
                          "interrupted; session " + uid +
                              " ends with its last connection, or at once by another release"});
    }
    return drained;
  };
  if (auto status = end(); !status) {
    if (!places && status.error().cause == Cause::unavailable) return places.error();
    const Cause cause = status.error().cause;
    if (how.forget && (cause == Cause::unavailable || cause == Cause::timeout)) {
      client.forget(uid);
      print_error("s2uc", status.error());
      if (settings.json) {
        std::printf("%s\n",
                    json{{"uid", uid}, {"released", false}, {"forgotten", true}}.dump(2).c_str());
      } else {
        std::printf("Forgotten here\n");
      }
      return {};
    }
    if (!settings.json) std::printf("Error during release: %s\n", status.error().message.c_str());
    return status;
  }
  if (settings.json) {
    std::printf("%s\n", json{{"uid", uid}, {"released", true}}
                            .dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
                            .c_str());
  } else {
    std::printf("Release completed\n");
  }
  return {};
}

Status watch_session(ClientSettings& settings, client::UserClient& client, const std::string& uid,
                     FILE* events) {
  const auto places = places_of(settings, client, uid);
  if (!places) return places.error();
  block_signals({SIGINT, SIGTERM, SIGHUP});
  LiveTable live;
  client::Interrupt interrupt;
  const SignalWaiter waiter({SIGINT, SIGTERM, SIGHUP}, [&interrupt](int) { interrupt.trigger(); });
  const Status status = client.watch(
      uid, *places, std::chrono::milliseconds(1000),
      [&](const session::SessionEvent& event) {
        if (settings.json) {
          json line = to_json(event.session);
          line["event"] = to_string(event.kind);
          line["detail"] = event.detail;
          std::fprintf(events, "%s\n",
                       line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
          std::fflush(events);
          return;
        }
        live.take(event, std::chrono::steady_clock::now());
        live.draw();
      },
      [](const Endpoint& server, const Error& error) {
        std::fprintf(stderr, "s2uc: no more news from %s: %s\n", to_string(server).c_str(),
                     printable(error.message).c_str());
      },
      &interrupt);
  // To stop watching is what an interrupt asks for.
  if (!status && status.error().cause == Cause::cancelled) return {};
  return status;
}

}  // namespace scistream::cli

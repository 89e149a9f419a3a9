#include "cli/client_settings.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/file.hpp"
#include "base/text.hpp"
#include "cli/command_line.hpp"
#include "cli/terminal.hpp"
#include "client/session_book.hpp"
#include "client/trust.hpp"

namespace scistream::cli {

void add_client_options(CLI::App& app, ClientSettings& settings) {
  app.add_option("--server-cert", settings.server_cert,
                 "Certificates to trust, PEM, one or several in one file [server.crt here, pinned "
                 "ones, the system's]")
      ->envname("SCISTREAM_SERVER_CERT");
  app.add_option("--client-cert", settings.client_cert,
                 "Certificate to show to control servers, PEM, where they know users by one")
      ->envname("SCISTREAM_CLIENT_CERT");
  app.add_option("--client-key", settings.client_key, "Its private key, PEM")
      ->envname("SCISTREAM_CLIENT_KEY");
  add_switch(app, "--ssl", settings.tls, "TLS to control servers; --ssl=False is plaintext")
      ->envname("SCISTREAM_SSL");
  app.add_option("--state-dir", settings.state_directory, "Where sessions and keys are remembered")
      ->envname("SCISTREAM_STATE_DIR");
  app.add_flag("--json", settings.json, "One JSON document on stdout");
  app.add_flag("-v,--verbose", settings.verbose, "Say more on stderr");
}

void add_token_options(CLI::App& app, ClientSettings& settings) {
  app.add_option("--scope", settings.scope,
                 "Call as logged in for this scope (s2uc login), and so from now on");
  app.add_option("--token-file", settings.token_file,
                 "File with the access token to call with, which only you can read "
                 "(Env:SCISTREAM_TOKEN_FILE, or SCISTREAM_TOKEN with the token)");
}

void add_place_options(CLI::App& app, ClientSettings& settings) {
  app.add_option("--prod", settings.prod, "Control server of the producer's facility, HOST:PORT");
  app.add_option("--cons", settings.cons, "Control server of the consumer's facility, HOST:PORT");
  app.add_option("--s2cs", settings.s2cs, "One control server, HOST:PORT");
}

void choose_state_directory(ClientSettings& settings) {
  if (settings.state_directory.empty()) settings.state_directory = default_state_directory();
}

Status check_amounts(long long num_conn, long long rate_mbps) {
  const auto refuse = [](const std::string& what, long long low, long long high) {
    return Error{Cause::invalid_argument,
                 what + " is not from " + std::to_string(low) + " to " + std::to_string(high)};
  };
  if (num_conn < 1 || num_conn > dataserver::max_num_conn)
    return refuse("--num-conn " + std::to_string(num_conn), 1, dataserver::max_num_conn);
  if (rate_mbps < 0 || rate_mbps > session::max_rate_mbps)
    return refuse("--rate " + std::to_string(rate_mbps) + " Mbit/s", 0, session::max_rate_mbps);
  return {};
}

Result<client::ClientOptions> client_options(ClientSettings& settings, Warnings warnings) {
  choose_state_directory(settings);
  client::ClientOptions options;
  options.tls = settings.tls;
  options.state_directory = settings.state_directory;
  auto tokens = client::token_options_of_user(settings.state_directory);
  if (!settings.token_file.empty()) {
    tokens.token_file = settings.token_file;
    tokens.token = {};
  }
  options.tokens = std::make_shared<client::TokenSource>(std::move(tokens));
  options.scope = settings.scope;
  options.certificate = settings.client_cert;
  options.key = settings.client_key;
  if (settings.client_cert.empty() != settings.client_key.empty()) {
    return Error{Cause::invalid_argument,
                 "--client-cert and --client-key belong together; one is missing"};
  }
  if (!settings.client_cert.empty() && !settings.tls)
    return Error{Cause::invalid_argument,
                 "--client-cert is shown in TLS, which --ssl=False turns off"};
  if (!settings.tls) {
    const bool warn = warnings == Warnings::always || settings.verbose;
    if (warn) {
      std::fprintf(
          stderr, "%s\n",
          styled(
              "PLAINTEXT: --ssl=False, anyone on the path can read and change the control channel",
              Style::red, STDERR_FILENO)
              .c_str());
    }
    return options;
  }
  auto trust = client::trust_of(settings.server_cert, settings.state_directory);
  if (!trust) return trust.error();
  options.roots = std::move(trust->roots);
  options.use_pins = trust->pins;
  return options;
}

Result<std::vector<Endpoint>> places_of(const ClientSettings& settings,
                                        const client::UserClient& client, const std::string& uid) {
  std::vector<Endpoint> places;
  for (const std::string& text : {settings.prod, settings.cons, settings.s2cs}) {
    if (text.empty()) continue;
    auto endpoint = parse_endpoint(text);
    if (!endpoint) return endpoint.error();
    if (std::find(places.begin(), places.end(), *endpoint) == places.end())
      places.push_back(std::move(*endpoint));
  }
  if (!places.empty()) return places;
  return client.servers_of(uid);
}

namespace {

/// The state folder of a command line that is still being typed: no shell has read its `~` yet.
std::filesystem::path state_directory_of(const Place& place) {
  const auto given = place.given.find("state-dir");
  std::string folder =
      given != place.given.end() ? given->second : environment_variable("SCISTREAM_STATE_DIR");
  if (folder.starts_with("~/")) folder.replace(0, 1, environment_variable("HOME"));
  return folder.empty() ? default_state_directory() : std::filesystem::path(folder);
}

/// None if somebody has changed the file.
std::vector<std::string> servers_of(const client::BookEntry& entry) {
  std::vector<std::string> texts;
  if (const auto servers = entry.servers())
    for (const Endpoint& server : *servers) texts.push_back(to_string(server));
  return texts;
}

}  // namespace

std::optional<std::vector<Candidate>> known_sessions(const Place& place) {
  const std::vector<std::string> servers{"server", "s2cs", "prod", "cons"};
  const bool is_server = std::find(servers.begin(), servers.end(), place.argument) != servers.end();
  if (!is_server && place.argument != "uid") return std::nullopt;
  std::vector<Candidate> words;
  for (const auto& entry : client::SessionBook(state_directory_of(place)).all()) {
    if (!is_server) {
      words.push_back({entry.uid, listed(servers_of(entry))});
      continue;
    }
    for (std::string& server : servers_of(entry)) {
      const Candidate word{std::move(server), ""};
      if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
    }
  }
  return words;
}

}  // namespace scistream::cli

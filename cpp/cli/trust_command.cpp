#include "cli/trust_command.hpp"

#include <unistd.h>

#include <cctype>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "base/utc.hpp"
#include "cli/command_line.hpp"
#include "cli/terminal.hpp"
#include "client/pins.hpp"
#include "net/certificate.hpp"
#include "net/probe.hpp"

namespace scistream::cli {

namespace {

using nlohmann::json;

constexpr std::chrono::seconds patience{5};

/// The digits of a fingerprint, whoever wrote it down.
std::string digits_of(const std::string& fingerprint) {
  std::string digits;
  for (const char c : fingerprint)
    if (std::isxdigit(static_cast<unsigned char>(c)) != 0)
      digits += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return digits;
}

std::string day_of(std::chrono::system_clock::time_point when) { return in_utc(when, "%Y-%m-%d"); }

json document_of(const Endpoint& server, const net::CertificateFacts& facts) {
  return {{"s2cs", to_string(server)},
          {"fingerprint", facts.fingerprint},
          {"names", facts.names},
          {"expires", day_of(facts.expires)}};
}

void show(const json& document) { std::printf("%s\n", document.dump(2).c_str()); }

Status show_all(const client::Pins& pins, bool as_json) {
  json documents = json::array();
  std::vector<std::vector<std::string>> rows{{"S2CS", "EXPIRES", "SHA-256 FINGERPRINT"}};
  for (const auto& [server, pem] : pins.all()) {
    const auto facts = net::facts_of(pem);
    if (!facts) continue;
    documents.push_back(document_of(server, *facts));
    rows.push_back({to_string(server), day_of(facts->expires), facts->fingerprint});
  }
  if (as_json) {
    show({{"trusted", documents}});
  } else if (rows.size() == 1) {
    std::printf("no server is pinned\n");
  } else {
    std::fputs(table(rows, STDOUT_FILENO).c_str(), stdout);
  }
  return {};
}

Status forget(const client::Pins& pins, const Endpoint& server, bool as_json) {
  const auto was = pins.forget(server);
  if (!was) return was.error();
  if (as_json) {
    show({{"s2cs", to_string(server)}, {"forgotten", *was}});
  } else {
    std::printf("%s %s\n", to_string(server).c_str(),
                *was ? "is pinned no more" : "was not pinned");
  }
  return {};
}

/// What the user says, on the terminal.
Status ask(const Endpoint& server, const std::string& fingerprint) {
  if (!is_terminal(STDIN_FILENO)) {
    return Error{Cause::failed_precondition,
                 "nobody is there to ask: say --fingerprint " + fingerprint +
                     " if that is what the facility says (its s2cs logs it at the start)"};
  }
  std::fprintf(stderr, "Does the facility of %s say SHA-256 %s? Trust it [yes/no]: ",
               to_string(server).c_str(), fingerprint.c_str());
  std::string answer;
  std::getline(std::cin, answer);
  if (answer == "yes") return {};
  return Error{Cause::cancelled, "nothing is trusted that was not before"};
}

/// Whether the certificate may be pinned, as far as that is known without asking.
Status check(const TrustSettings& trust, const Endpoint& server, const std::string& pem,
             const net::CertificateFacts& facts, const std::string& known) {
  if (!net::certificate_covers(pem, server.host)) {
    return Error{Cause::unauthenticated, "the certificate of " + to_string(server) + " is for " +
                                             listed(facts.names) + ", not for '" + server.host +
                                             "': use one of its names"};
  }
  constexpr std::size_t digits = 64;
  if (!trust.fingerprint.empty() && digits_of(trust.fingerprint).size() != digits) {
    return Error{Cause::invalid_argument, "--fingerprint '" + trust.fingerprint +
                                              "' is no SHA-256 fingerprint: that has 64 "
                                              "hexadecimal digits"};
  }
  if (!trust.fingerprint.empty() && digits_of(trust.fingerprint) != digits_of(facts.fingerprint)) {
    return Error{Cause::unauthenticated, to_string(server) + " has another certificate, SHA-256 " +
                                             facts.fingerprint +
                                             ": somebody may be in between; ask its facility"};
  }
  if (!known.empty() && !trust.replace) {
    return Error{Cause::unauthenticated,
                 "the certificate of " + to_string(server) + " has changed: SHA-256 " + known +
                     " is pinned, it shows " + facts.fingerprint +
                     ". Somebody may be in between. If its facility says that the new one is its "
                     "own, say --replace"};
  }
  return {};
}

}  // namespace

CLI::App* add_trust_command(CLI::App& app, TrustSettings& trust, ClientSettings& client) {
  CLI::App* command = app.add_subcommand(
      "trust", "Show a control server's certificate, and trust it from now on; or list those");
  command->add_option("server", trust.server, "Control server, HOST:PORT");
  command->add_option("--fingerprint", trust.fingerprint,
                      "Trust it if this is its SHA-256 fingerprint, without a question");
  command->add_flag("--yes", trust.yes, "Trust what it shows, without a question");
  command->add_flag("--replace", trust.replace, "Also if another one was trusted before");
  command->add_flag("--forget", trust.forget, "Trust it no more");
  add_client_options(*command, client);
  return command;
}

Status trust_server(const TrustSettings& trust, ClientSettings& client) {
  choose_state_directory(client);
  const client::Pins pins(client.state_directory);
  if (trust.server.empty()) return show_all(pins, client.json);
  const auto server = parse_endpoint(trust.server);
  if (!server) return server.error();
  if (trust.forget) return forget(pins, *server, client.json);
  const auto pem = net::certificate_of(*server, patience);
  if (!pem) return pem.error();
  const auto facts = net::facts_of(*pem);
  if (!facts) return facts.error();
  const auto before = pins.find(*server);
  const bool is_pinned = before && *before;
  const std::string known = is_pinned ? *net::fingerprint(**before) : std::string();
  const bool is_known = known == facts->fingerprint;
  if (!client.json) {
    std::printf("%s\n  SHA-256  %s\n  names    %s\n  expires  %s\n", to_string(*server).c_str(),
                facts->fingerprint.c_str(), printable(listed(facts->names)).c_str(),
                day_of(facts->expires).c_str());
    (void)std::fflush(stdout);
  }
  if (Status good = check(trust, *server, *pem, *facts, is_known ? "" : known); !good) return good;
  if (!is_known) {
    if (!trust.yes && trust.fingerprint.empty()) {
      if (Status agreed = ask(*server, facts->fingerprint); !agreed) return agreed;
    }
    // One that is damaged is none.
    const auto replace =
        trust.replace || !before ? client::Pins::Replace::yes : client::Pins::Replace::no;
    if (Status pinned = pins.pin(*server, *pem, replace); !pinned) return pinned;
  }
  if (client.json) {
    json document = document_of(*server, *facts);
    document["was_known"] = is_known;
    show(document);
  } else {
    std::printf("%s\n", is_known ? "trusted already" : "trusted from now on");
  }
  return {};
}

}  // namespace scistream::cli

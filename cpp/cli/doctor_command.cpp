#include "cli/doctor_command.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "base/text.hpp"
#include "cli/command_line.hpp"
#include "cli/terminal.hpp"
#include "client/pins.hpp"
#include "net/certificate.hpp"
#include "net/probe.hpp"

namespace scistream::cli {

namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr milliseconds patience{5'000};
/// More than this, and tokens are taken for expired, or not valid yet (auth::clock_leeway).
constexpr milliseconds clocks_apart{3'000};

/// One thing that was looked at.
struct Check {
  const char* what;
  Status result;      ///< The error says what to do.
  std::string found;  ///< Where it is good.
};

/// What is looked at, in the order in which one thing needs the other.
class Examination {
 public:
  Examination(Endpoint server, client::ClientOptions options)
      : server_(std::move(server)), options_(std::move(options)) {}

  std::vector<Check> run() {
    const bool reached = look("name", name()) && look("network", network());
    if (reached && options_.tls && !look_at_certificate()) return std::move(checks_);
    if (!reached) return std::move(checks_);
    if (!options_.tls && !look("plaintext", plaintext())) return std::move(checks_);
    look_at_calls();
    return std::move(checks_);
  }

 private:
  bool look(const char* what, Result<std::string> result) {
    checks_.push_back({what, result ? Status() : Status(result.error()),
                       result ? std::move(*result) : std::string()});
    return checks_.back().result.ok();
  }

  Result<std::string> name() {
    const auto addresses = net::addresses_of(server_);
    if (!addresses) {
      return Error{addresses.error().cause,
                   addresses.error().message +
                       "; is it spelt right, and does this machine have a name server?"};
    }
    std::vector<std::string> distinct = *addresses;
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    return listed(distinct);
  }

  Result<std::string> network() {
    if (const Status connected = net::can_connect(server_, patience); !connected)
      return connected.error();
    return "port " + std::to_string(server_.port) + " answers";
  }

  Result<std::string> plaintext() {
    if (const Status good = net::probe_server(server_, false, "", {}, patience); !good)
      return good.error();
    return std::string("it speaks plaintext, as --ssl=False says");
  }

  bool look_at_certificate() {
    const auto shown = net::certificate_of(server_, patience);
    const auto facts = shown ? net::facts_of(*shown) : Result<net::CertificateFacts>(shown.error());
    if (!facts) return look("TLS", facts.error());
    return look("TLS", "it shows the certificate " + facts->fingerprint) &&
           look("certificate's name", covered(*shown, *facts)) &&
           look("certificate's time", lasting(*facts)) && look("trust", trusted(*facts));
  }

  Result<std::string> covered(const std::string& pem, const net::CertificateFacts& facts) {
    if (net::certificate_covers(pem, server_.host)) return "it is for " + server_.host;
    return Error{Cause::unauthenticated,
                 "the certificate is for " +
                     (facts.names.empty() ? "no name" : listed(facts.names)) + ", not for '" +
                     server_.host +
                     "': use one of these, or have its operator name this one (s2cs --advertise)"};
  }

  static Result<std::string> lasting(const net::CertificateFacts& facts) {
    const auto now = system_clock::now();
    if (now < facts.begins) {
      return Error{Cause::unauthenticated,
                   "the certificate is not valid yet: is this machine's clock right?"};
    }
    if (now >= facts.expires) {
      return Error{Cause::unauthenticated,
                   "the certificate has expired: its operator renews it; or is this machine's "
                   "clock wrong?"};
    }
    const auto left = std::chrono::duration_cast<milliseconds>(facts.expires - now);
    return "it lasts for " + human_duration(static_cast<std::uint64_t>(left.count()));
  }

  Result<std::string> trusted(const net::CertificateFacts& facts) {
    std::string roots = options_.roots;
    std::string by = roots.empty() ? "an authority that the system trusts"
                                   : "what --server_cert or the working folder's server.crt says";
    if (options_.use_pins) {
      const auto pin = client::Pins(options_.state_directory).find(server_);
      if (!pin) return pin.error();
      if (*pin) {
        const auto print = net::fingerprint(**pin);
        if (print && *print != facts.fingerprint) {
          return Error{Cause::unauthenticated,
                       "the certificate has changed: SHA-256 " + *print +
                           " is pinned. Somebody may be in between. If its facility says that the "
                           "new one is its own, say s2uc trust --replace " +
                           to_string(server_)};
        }
        roots = **pin;
        by = "its pin (s2uc trust)";
      }
    }
    if (const Status good = net::probe_server(server_, true, roots, {}, patience); !good)
      return good.error();
    return "by " + by;
  }

  void look_at_calls() {
    client::UserClient client(options_);
    const auto token = client.token_for(server_);
    const auto info = client.info(server_);
    // It says the time to whomever it talks to, before it asks who that is.
    look("clock", clock(client.at(server_).clock_ahead()));
    if (!token) {
      look("login", token.error());
      return;
    }
    const bool is_refused = !info && (info.error().cause == Cause::unauthenticated ||
                                      info.error().cause == Cause::permission_denied);
    if (is_refused) {
      look("login", info.error());
      return;
    }
    if (!info) {
      look("service", info.error());
      return;
    }
    look("login", std::string(token->empty() ? "none is asked for" : "your token is good here"));
    const auto& capacity = info->capacity;
    look("service", "SciStream " + info->version + ", " + std::to_string(capacity.ports_free) +
                        " of " + std::to_string(capacity.ports_total) + " ports free");
  }

  static Result<std::string> clock(std::optional<milliseconds> ahead) {
    if (!ahead) return std::string("it does not say what time it is there");
    const milliseconds apart(std::abs(ahead->count()));
    if (apart <= clocks_apart) return std::string("within 3 s of this machine's");
    return Error{Cause::failed_precondition,
                 "its clock is " + human_duration(static_cast<std::uint64_t>(apart.count())) +
                     (ahead->count() > 0 ? " ahead of" : " behind") +
                     " this machine's: set the one that is wrong (NTP), since tokens and "
                     "certificates go by the time"};
  }

  const Endpoint server_;
  const client::ClientOptions options_;
  std::vector<Check> checks_;
};

void show(const std::vector<Check>& checks, bool as_json) {
  if (as_json) {
    json documents = json::array();
    for (const Check& each : checks) {
      documents.push_back({{"check", each.what},
                           {"good", each.result.ok()},
                           {"message", each.result ? each.found : each.result.error().message}});
    }
    std::printf(
        "%s\n",
        json{{"checks", documents}}.dump(2, ' ', false, json::error_handler_t::replace).c_str());
    return;
  }
  std::size_t width = 0;
  for (const Check& each : checks) width = std::max(width, std::string(each.what).size());
  for (const Check& each : checks) {
    const bool good = each.result.ok();
    const std::string mark =
        styled(good ? "good" : "BAD ", good ? Style::green : Style::red, STDOUT_FILENO);
    const std::string what = each.what + std::string(width - std::string(each.what).size(), ' ');
    std::printf("%s  %s  %s\n", mark.c_str(), what.c_str(),
                printable(good ? each.found : each.result.error().message).c_str());
  }
}

}  // namespace

Status examine_server(const std::string& server, ClientSettings& settings) {
  const auto endpoint = parse_endpoint(server);
  if (!endpoint) return endpoint.error();
  auto options = client_options(settings, Warnings::verbose_only);
  if (!options) return options.error();
  const auto checks = Examination(*endpoint, std::move(*options)).run();
  show(checks, settings.json);
  const auto bad = std::find_if(checks.begin(), checks.end(),
                                [](const Check& each) { return !each.result.ok(); });
  return bad == checks.end() ? Status() : already_reported(bad->result.error());
}

}  // namespace scistream::cli

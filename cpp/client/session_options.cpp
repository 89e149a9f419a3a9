#include "client/session_options.hpp"

#include <memory>
#include <utility>

#include "client/token_source.hpp"
#include "client/trust.hpp"

namespace scistream::client {

namespace {

Error invalid(std::string message) { return {Cause::invalid_argument, std::move(message)}; }

}  // namespace

Result<ClientOptions> client_options(ClientSettings settings) {
  ClientOptions options;
  options.tls = settings.tls;
  if (settings.certificate.empty() != settings.key.empty())
    return invalid("client_cert and client_key belong together; one is missing");
  if (!settings.certificate.empty() && !settings.tls)
    return invalid("client_cert is shown in TLS, which is turned off");
  options.certificate = std::move(settings.certificate);
  options.key = std::move(settings.key);
  if (settings.token.empty()) {
    options.tokens = std::make_shared<TokenSource>(token_options_of_user(settings.state_directory));
  }
  options.token = std::move(settings.token);
  if (settings.tls && settings.roots.empty()) {
    auto trust = trust_of(settings.server_cert, settings.state_directory);
    if (!trust) return trust.error();
    settings.roots = std::move(trust->roots);
    options.use_pins = trust->pins;
  } else if (settings.tls && !settings.server_cert.empty()) {
    return invalid("roots and server_cert are two ways to say it; give one");
  }
  options.roots = std::move(settings.roots);
  options.state_directory = std::move(settings.state_directory);
  return options;
}

Status check_protocol(std::string_view protocol) {
  if (protocol == "tcp" || protocol == "udp") return {};
  return invalid("protocol '" + std::string(protocol.substr(0, 32)) + "' is not one of: tcp, udp");
}

Status choose_app_keys(bool tls, const Endpoint& prod, const Endpoint& cons,
                       const std::optional<Secret>& prod_key, const std::optional<Secret>& cons_key,
                       SessionRequest& request) {
  request.prod_app_key = prod_key.value_or(Secret());
  request.cons_app_key = cons_key.value_or(Secret());
  if (keys_may_travel(tls, prod, cons)) {
    if (!prod_key) request.prod_app_key = Secret::random(key_size);
    if (!cons_key) request.cons_app_key = Secret::random(key_size);
  } else if (prod_key || cons_key) {
    return invalid(
        "application keys do not travel over plaintext off this machine; leave them out");
  }
  return {};
}

}  // namespace scistream::client

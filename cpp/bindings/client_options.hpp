#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "bindings/errors.hpp"
#include "client/trust.hpp"
#include "client/user_client.hpp"

namespace scistream::bindings {

/// How a client of this process reaches control servers. `roots`: PEM text; empty takes what
/// `server_cert` and the defaults of the command line say. `certificate` and `key`: shown to
/// servers, both or none.
inline client::ClientOptions client_options(bool tls, std::string roots,
                                            const std::filesystem::path& server_cert,
                                            std::string token,
                                            std::filesystem::path state_directory,
                                            std::filesystem::path certificate,
                                            std::filesystem::path key) {
  client::ClientOptions options;
  options.tls = tls;
  if (certificate.empty() != key.empty())
    raise({Cause::invalid_argument, "client_cert and client_key belong together; one is missing"});
  if (!certificate.empty() && !tls)
    raise({Cause::invalid_argument, "client_cert is shown in TLS, which tls=False turns off"});
  options.certificate = std::move(certificate);
  options.key = std::move(key);
  if (token.empty()) {
    options.tokens =
        std::make_shared<client::TokenSource>(client::token_options_of_user(state_directory));
  }
  options.token = std::move(token);
  if (tls && roots.empty()) {
    auto trust = value_or_raise(client::trust_of(server_cert, state_directory));
    roots = std::move(trust.roots);
    options.use_pins = trust.pins;
  } else if (tls && !server_cert.empty()) {
    raise({Cause::invalid_argument, "roots and server_cert are two ways to say it; give one"});
  }
  options.roots = std::move(roots);
  options.state_directory = std::move(state_directory);
  return options;
}

}  // namespace scistream::bindings

#pragma once

#include <chrono>
#include <string_view>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "client/user_client.hpp"
#include "scistream/client_options.hpp"

namespace scistream::sdk {

/// `invalid_argument` unless it is from 0 to 10 years; clocks can add these to now.
Status check_duration(std::string_view what, std::chrono::milliseconds duration);

/// The nearest of these.
std::chrono::milliseconds within_bounds(std::chrono::milliseconds duration);

/// `invalid_argument` unless it has a host and a port.
Status check_endpoint(std::string_view what, const Endpoint& endpoint);

/// `invalid_argument` unless it has the length of a key.
Status check_key(std::string_view what, const Secret& key);

/// What the options amount to, with the folders of the commands where they say nothing; gets gRPC
/// ready for use.
Result<client::ClientOptions> client_options(const ClientOptions& options);

}  // namespace scistream::sdk

#include "sdk/arguments.hpp"

#include <algorithm>
#include <string>

#include "base/file.hpp"
#include "client/session_options.hpp"
#include "sdk/grpc_use.hpp"

namespace scistream::sdk {

namespace {

constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 366 * 10);

Error invalid(std::string_view what, const std::string& why) {
  return {Cause::invalid_argument, std::string(what) + ": " + why};
}

}  // namespace

Status check_duration(std::string_view what, std::chrono::milliseconds duration) {
  if (duration.count() >= 0 && duration <= longest) return {};
  return invalid(what,
                 "it takes 0 ms to 10 years, not " + std::to_string(duration.count()) + " ms");
}

std::chrono::milliseconds within_bounds(std::chrono::milliseconds duration) {
  return std::clamp(duration, std::chrono::milliseconds(0), longest);
}

Status check_endpoint(std::string_view what, const Endpoint& endpoint) {
  if (const auto parsed = parse_endpoint(to_string(endpoint)); !parsed)
    return invalid(what, parsed.error().message);
  return {};
}

Status check_key(std::string_view what, const Secret& key) {
  if (key.size() == key_size) return {};
  return invalid(
      what, "a key has " + std::to_string(key_size) + " bytes, not " + std::to_string(key.size()));
}

Result<client::ClientOptions> client_options(const ClientOptions& options) {
  about_to_use_grpc();
  return client::client_options(
      {options.tls, options.roots, options.server_cert, std::string(options.token.view()),
       options.state_dir.empty() ? default_state_directory() : options.state_dir,
       options.client_cert, options.client_key});
}

}  // namespace scistream::sdk

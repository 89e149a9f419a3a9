#include "control/server_identity.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/endpoint.hpp"
#include "base/file.hpp"
#include "net/tcp.hpp"

namespace scistream::control {

namespace {

std::vector<std::string> all_names(const std::vector<std::string>& hosts) {
  std::vector<std::string> names{"localhost", "127.0.0.1", "::1"};
  const auto add = [&names](const std::string& name) {
    if (!is_wildcard(name) && std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
  };
  std::array<char, 256> own{};
  if (::gethostname(own.data(), own.size() - 1) == 0 &&
      parse_endpoint(std::string(own.data()) + ":1"))
    add(own.data());
  if (const auto local = net::local_addresses()) {
    for (const std::string& address : *local) {
      if (address.find('%') == std::string::npos) add(address);
    }
  }
  for (const std::string& host : hosts) add(host);
  return names;
}

}  // namespace

Result<net::CertificateAndKey> server_identity(const std::filesystem::path& certificate,
                                               const std::filesystem::path& key,
                                               const std::filesystem::path& state_directory,
                                               const std::vector<std::string>& hosts,
                                               const Logger& log) {
  if (certificate.empty() != key.empty()) {
    return Error{Cause::invalid_argument,
                 "--server_crt and --server_key belong together; one is missing"};
  }
  if (!certificate.empty()) return net::read_certificate(certificate, key);
  std::error_code error;
  if (std::filesystem::exists("server.crt", error) &&
      std::filesystem::exists("server.key", error)) {
    return net::read_certificate("server.crt", "server.key");
  }
  const auto own_certificate = state_directory / "server.crt";
  const auto own_key = state_directory / "server.key";
  if (std::filesystem::exists(own_certificate, error)) {
    auto own = net::read_certificate(own_certificate, own_key);
    constexpr std::chrono::hours soon{24 * 30};
    const auto facts = own ? net::facts_of(own->certificate) : net::CertificateFacts();
    const bool lasts = facts && facts->expires - soon > std::chrono::system_clock::now();
    const bool covers =
        own && lasts && std::all_of(hosts.begin(), hosts.end(), [&own](const std::string& host) {
          return is_wildcard(host) || net::certificate_covers(own->certificate, host);
        });
    if (covers) return own;
    log->warn("the certificate in {} does not fit any more ({}); making another one",
              own_certificate.string(),
              !own    ? own.error().message
              : lasts ? "it lacks an address of this server"
                      : "it is about to expire");
  }
  auto made = net::make_self_signed(all_names(hosts));
  if (!made) return made;
  if (auto status = write_private_file(own_key, made->key); !status) return status.error();
  if (auto status = write_private_file(own_certificate, made->certificate); !status)
    return status.error();
  return made;
}

}  // namespace scistream::control

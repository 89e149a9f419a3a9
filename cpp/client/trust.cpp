#include "client/trust.hpp"

#include "base/file.hpp"
#include "base/secret.hpp"
#include "net/certificate.hpp"

namespace scistream::client {

Result<Trust> trust_of(const std::filesystem::path& server_cert,
                       const std::filesystem::path& state_directory) {
  if (!server_cert.empty()) {
    auto given = read_file(server_cert);
    if (given && !net::fingerprint(*given)) {
      return Error{Cause::invalid_argument, "'" + server_cert.string() +
                                                "' holds no PEM certificate, or one that is "
                                                "damaged"};
    }
    if (!given) return given.error();
    return Trust{std::move(*given), false};
  }
  const auto content = [](const std::filesystem::path& path) -> Result<std::string> {
    std::error_code error;
    return std::filesystem::exists(path, error) ? read_file(path) : std::string();
  };
  auto here = content("server.crt");
  if (!here) return here.error();
  if (!here->empty()) return Trust{std::move(*here), false};
  // Without a state folder, a file of that name in the working folder means nothing.
  auto all = state_directory.empty() ? std::string() : content(state_directory / "pinned.pem");
  if (!all) return all.error();
  return Trust{std::move(*all), true};
}

Result<Secret> read_key_file(const std::filesystem::path& path) {
  const auto word = read_secret_file(path, "key file");
  if (!word) return word.error();
  auto key = Secret::from_hex(word->view(), key_size);
  if (!key) return Error{key.error().cause, "'" + path.string() + "': " + key.error().message};
  return key;
}

Status keys_may_travel(bool tls, const Endpoint& prod, const Endpoint& cons) {
  if (tls || (is_loopback(prod.host) && is_loopback(cons.host))) return {};
  return Error{Cause::failed_precondition,
               "the key of an encrypted session does not cross a plaintext control channel off "
               "this machine; use TLS for it, or --transport tcp to stream without encryption"};
}

}  // namespace scistream::client

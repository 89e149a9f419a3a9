#include "client/pins.hpp"

#include <algorithm>
#include <system_error>

#include "base/file.hpp"
#include "client/provider.hpp"
#include "net/certificate.hpp"

namespace scistream::client {

namespace {

constexpr const char* suffix = ".pem";

}  // namespace

Pins::Pins(const std::filesystem::path& state_directory)
    : folder_(state_directory.empty() ? state_directory : state_directory / "trusted") {}

std::filesystem::path Pins::file_of(const Endpoint& server) const {
  // A name is one of a file: what parses as an endpoint has no slash in it.
  return folder_ / (to_string(canonical_server(server)) + suffix);
}

Result<std::optional<std::string>> Pins::find(const Endpoint& server) const {
  if (folder_.empty()) return std::optional<std::string>();
  auto text = read_file(file_of(server));
  if (!text && text.error().cause == Cause::not_found) return std::optional<std::string>();
  if (!text) return text.error();
  if (!net::is_one_certificate(*text)) {
    return Error{Cause::failure, "'" + file_of(server).string() + "' is damaged: say s2uc trust " +
                                     to_string(server)};
  }
  return std::optional(std::move(*text));
}

Status Pins::pin(const Endpoint& server, const std::string& pem, Replace replace) const {
  if (folder_.empty())
    return Error{Cause::failed_precondition, "without a state folder nothing can be pinned"};
  if (Status made = make_private_directory(folder_); !made) return made;
  return replace == Replace::yes ? write_private_file(file_of(server), pem)
                                 : create_private_file(file_of(server), pem);
}

Result<bool> Pins::forget(const Endpoint& server) const {
  if (folder_.empty()) return false;
  std::error_code failed;
  const bool was = std::filesystem::remove(file_of(server), failed);
  if (failed)
    return errno_error("cannot remove '" + file_of(server).string() + "'", failed.value());
  return was;
}

std::vector<std::pair<Endpoint, std::string>> Pins::all() const {
  std::vector<std::pair<Endpoint, std::string>> found;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, none)) {
    if (entry.path().extension() != suffix) continue;
    const auto server = parse_endpoint(entry.path().stem().string());
    auto text = read_file(entry.path());
    if (server && text) found.emplace_back(*server, std::move(*text));
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace scistream::client

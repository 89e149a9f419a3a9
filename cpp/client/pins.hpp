#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"

namespace scistream::client {

/// The certificates of control servers that a user has accepted, one a server, as ssh keeps host
/// keys: each is trusted for its own server and for nothing else. Files of the folder `trusted` in
/// the state folder, replaced in one step; several processes may use them at once.
class Pins {
 public:
  /// An empty folder keeps none.
  explicit Pins(const std::filesystem::path& state_directory);

  /// The certificate of a server, PEM; nothing if none is pinned. An error if its file holds none,
  /// or more than one: who trusts nobody must not come to trust everybody.
  [[nodiscard]] Result<std::optional<std::string>> find(const Endpoint& server) const;
  enum class Replace { no, yes };
  /// `already_exists` if there is another one that it must not replace.
  [[nodiscard]] Status pin(const Endpoint& server, const std::string& pem, Replace replace) const;
  /// Whether there was one.
  [[nodiscard]] Result<bool> forget(const Endpoint& server) const;
  /// All of them, by server.
  [[nodiscard]] std::vector<std::pair<Endpoint, std::string>> all() const;

 private:
  [[nodiscard]] std::filesystem::path file_of(const Endpoint& server) const;

  const std::filesystem::path folder_;
};

}  // namespace scistream::client

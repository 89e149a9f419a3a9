#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace scistream::inline v0 {

/// Who calls, as an issuer of tokens or certificates says. Holds no secret.
struct Identity {
  std::string issuer;   ///< Who says so, as it calls itself: `https://auth.globus.org`.
  std::string subject;  ///< Unique and never given to somebody else by that issuer.
  std::string name;     ///< For people to read; may be empty, change, or be made up by them.
  std::string email;    ///< That the issuer has verified; may be empty.
  std::vector<std::string> linked;  ///< Other subjects of the same person, at the same issuer.
  std::vector<std::string> groups;
  std::vector<std::string> scopes;
  /// After that they have to show anew who they are; the clock's epoch is never.
  std::chrono::system_clock::time_point expires;

  /// Whether both are the same person; names do not count.
  [[nodiscard]] bool is_same_as(const Identity& other) const {
    return issuer == other.issuer && subject == other.subject;
  }
};

}  // namespace scistream::inline v0

#include "scistream/session_key.hpp"

#include <algorithm>
#include <cctype>

#include "base/text.hpp"

namespace scistream {

std::string_view v0::to_string(Role role) noexcept {
  return role == Role::producer ? "PROD" : "CONS";
}

Result<Role> v0::parse_role(std::string_view text) {
  std::string upper(text);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (upper == "PROD") return Role::producer;
  if (upper == "CONS") return Role::consumer;
  return Error{Cause::invalid_argument, "role '" + shown(text) + "' is neither PROD nor CONS"};
}

std::string v0::to_string(const SessionKey& key) {
  return key.uid + "/" + std::string(to_string(key.role));
}

Status v0::check_uid(std::string_view uid) {
  const bool safe = std::all_of(uid.begin(), uid.end(), [](unsigned char c) {
    return (c < 0x80 && std::isalnum(c) != 0) || c == '.' || c == '_' || c == '-';
  });
  if (uid.empty() || uid.size() > 128 || !safe || uid.starts_with('.') || uid.starts_with('-')) {
    return Error{Cause::invalid_argument, "session id '" + shown(uid) +
                                              "' is not 1 to 128 letters, digits, '.', '_' or '-' "
                                              "that start with a letter, a digit or '_'"};
  }
  return {};
}

}  // namespace scistream

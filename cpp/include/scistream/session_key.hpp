#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "scistream/error.hpp"
#include "scistream/export.hpp"

namespace scistream::inline v0 {

/// Which side of the stream a session serves: the producer application listens, the consumer
/// application connects. `PROD` and `CONS` on the wire.
enum class Role { producer, consumer };

/// `PROD` or `CONS`.
SCISTREAM_EXPORT std::string_view to_string(Role role) noexcept;

/// Accepts `PROD` and `CONS` in any case.
SCISTREAM_EXPORT Result<Role> parse_role(std::string_view text);

/// What identifies a session within one control server: both roles of one id may live side by side.
struct SessionKey {
  std::string uid;
  Role role = Role::producer;

  friend auto operator<=>(const SessionKey&, const SessionKey&) = default;
};

/// `<uid>/<PROD|CONS>`, for logs.
SCISTREAM_EXPORT std::string to_string(const SessionKey& key);

/// An id is 1 to 128 letters, digits, '.', '_' or '-': UUIDs with or without dashes, and any other
/// name a workflow engine makes up. Anything else would not be safe in file names and logs.
SCISTREAM_EXPORT Status check_uid(std::string_view uid);

}  // namespace scistream::inline v0

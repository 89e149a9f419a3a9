#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "base/error.hpp"
#include "dataserver/data_server.hpp"

namespace scistream::proxy {

/// Of `show stat`; `unavailable` if that is no whole answer.
Result<dataserver::Counters> counters_in(const std::string& answer);

/// What has come to either side of a connection.
struct Moved {
  std::uint64_t to_target = 0;
  std::uint64_t to_client = 0;
  friend bool operator==(const Moved&, const Moved&) = default;
};

/// The connections that an HAProxy has.
struct Sessions {
  std::size_t count = 0;
  /// Those that have bytes for a side that has gone, by HAProxy's name for them.
  std::map<std::string, Moved> stuck;
};

/// Of `show sess all`; `unavailable` if that is no whole answer.
Result<Sessions> sessions_in(const std::string& answer);

}  // namespace scistream::proxy

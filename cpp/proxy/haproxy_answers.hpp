#pragma once

#include <map>
#include <string>

#include "dataserver/data_server.hpp"

namespace scistream::proxy {

/// Of `show stat`; what is not there counts as none.
dataserver::Counters counters_in(const std::string& answer);

/// Of `show sess all`, the connections that have bytes for a side that has gone, by HAProxy's name
/// for them, each with what it has moved.
std::map<std::string, std::string> stuck_in(const std::string& answer);

}  // namespace scistream::proxy

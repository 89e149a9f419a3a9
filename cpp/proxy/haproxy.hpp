#pragma once

#include <memory>
#include <string>

#include "proxy/program.hpp"

namespace scistream::proxy {

/// HAProxy: has its targets changed and its counters read over its runtime socket. `program` is
/// where it is.
std::shared_ptr<Steering> steer_haproxy(const Site& site, std::string program);

}  // namespace scistream::proxy

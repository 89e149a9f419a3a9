#pragma once

#include "proxy/data_servers.hpp"
#include "proxy/program.hpp"

namespace scistream::proxy {

/// The programs of this machine that forward as processes beside the data server. Each is
/// `not_found`, with its package, if it is not installed. Blocks while it says its version.
Result<Program> installed_haproxy(const DataServerPlan& plan);
Result<Program> installed_nginx(const DataServerPlan& plan);
Result<Program> installed_stunnel(const DataServerPlan& plan);

}  // namespace scistream::proxy

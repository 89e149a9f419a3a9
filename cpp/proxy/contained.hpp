#pragma once

#include <filesystem>

#include "base/log.hpp"
#include "proxy/data_servers.hpp"
#include "proxy/program.hpp"

namespace scistream::proxy {

/// The same programs as those of installed.hpp, each session's in a container of its own. A process
/// of ours beside the data server, `s2ds container-run`, stands for each, so that what watches and
/// signals the one watches and signals the other. `not_found` if the engine has no such image.
/// Blocks while the program says its version in a container.
Result<Program> contained_haproxy(const DataServerPlan& plan);
Result<Program> contained_nginx(const DataServerPlan& plan);
Result<Program> contained_stunnel(const DataServerPlan& plan);

}  // namespace scistream::proxy

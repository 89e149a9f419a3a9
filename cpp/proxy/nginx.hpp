#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "proxy/program.hpp"

namespace scistream::proxy {

struct NginxPlan {
  std::string program;  ///< Where it is.
  std::string module;   ///< Where its stream module is; empty where that is built in.
  std::chrono::milliseconds flow_idle{60'000};  ///< A flow of datagrams without any ends then.
  unsigned workers = 1;
};

/// Nginx's stream module: has its targets changed by a reload that leaves live connections to the
/// workers that have them, and is counted by its log and the kernel; datagrams are counted when
/// their flow has ended.
std::shared_ptr<Steering> steer_nginx(const Site& site, NginxPlan plan);

/// How many for one session, on so many cores, 0 being all: a core each, and no more than 16, since
/// each costs memory and a reload has both generations for as long as connections live.
unsigned nginx_workers(double cpus);

/// The module that an installed nginx loads to forward streams; empty if it is built in.
/// `not_found` names its package. Blocks while nginx says how it was built.
Result<std::string> nginx_stream_module(const std::filesystem::path& program);

}  // namespace scistream::proxy

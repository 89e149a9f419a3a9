#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "proxy/program.hpp"

namespace scistream::proxy {

/// Nginx's stream module: has its targets changed by a reload that leaves live connections to the
/// workers that have them, and is counted by its log and the kernel; datagrams are counted when
/// their flow has ended. `program` is where it is, `module` where its stream module is, empty where
/// that is built in. A flow of datagrams ends when nothing has moved for `flow_idle`.
std::shared_ptr<Steering> steer_nginx(boost::asio::io_context& context, std::string program,
                                      std::string module, std::chrono::milliseconds flow_idle);

/// The module that an installed nginx loads to forward streams; empty if it is built in.
/// `not_found` names its package. Blocks while nginx says how it was built.
Result<std::string> nginx_stream_module(const std::filesystem::path& program);

}  // namespace scistream::proxy

#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/log.hpp"
#include "dataserver/local.hpp"
#include "dataserver/native.hpp"
#include "proxy/program.hpp"

namespace scistream::proxy {

/// The kinds of data server this version can run, as `--type` spells them.
const std::vector<std::string>& data_server_kinds();

/// The kind of that name, in any case; `invalid_argument` lists the known ones.
Result<std::string> data_server_kind(std::string_view name);

/// Whether what a kind needs is installed here; `not_found` names the package of a program that is
/// not. Blocks while a program says its version.
Status can_run(std::string_view kind);

/// Makes a data server of a kind. `folder` is its own, for what it runs; it is made when it is
/// needed. Errors as those of can_run().
Result<std::unique_ptr<dataserver::DataServer>> make_data_server(std::string_view kind,
                                                                 std::filesystem::path folder,
                                                                 dataserver::NativeOptions options,
                                                                 const Logger& log);

/// A data server of proxies, and threads of its own for the relays in front of them.
class ProxyDataServer : private dataserver::NativeThreads, public dataserver::LocalDataServer {
 public:
  ProxyDataServer(std::shared_ptr<const Program> program, std::filesystem::path folder,
                  dataserver::NativeOptions options, const Logger& log);
};

}  // namespace scistream::proxy

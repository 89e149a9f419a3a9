#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/log.hpp"
#include "dataserver/local.hpp"
#include "dataserver/native.hpp"
#include "proxy/container_options.hpp"
#include "proxy/program.hpp"

namespace scistream::proxy {

/// The kinds of data server this version can run, as `--type` spells them.
const std::vector<std::string>& data_server_kinds();

/// The kind of that name, in any case; `invalid_argument` lists the known ones.
Result<std::string> data_server_kind(std::string_view name);

/// What a data server is made from.
struct DataServerPlan {
  std::string kind = "Native";  ///< As `--type` spells it, in any case.
  /// Of stunnel: the protection of SciStream 1.x, which hides nothing.
  bool compat_stunnel = false;
  std::filesystem::path folder;  ///< Its own, for what it runs; made when it is needed.
  dataserver::NativeOptions native;
  ContainerOptions container;  ///< Of the kinds that run in containers.
};

/// What the data server of a plan says it is (`dataserver::Info::kind`). Errors as those of
/// data_server_kind(), and `invalid_argument` for what does not go together.
Result<std::string> announced_kind(std::string_view kind, bool compat_stunnel);

/// How long a data server of a kind may take to start, and its sessions to be restored.
std::chrono::milliseconds start_limit_of(std::string_view kind);

/// Whether what a plan needs is installed here; `not_found` names the package of a program that is
/// not. Blocks while a program says its version.
Status can_run(const DataServerPlan& plan);

/// Errors as those of announced_kind() and can_run().
Result<std::unique_ptr<dataserver::DataServer>> make_data_server(DataServerPlan plan,
                                                                 const Logger& log);

/// A data server of proxies, and threads of its own for the relays in front of them.
class ProxyDataServer : private dataserver::NativeThreads, public dataserver::LocalDataServer {
 public:
  ProxyDataServer(Program program, std::filesystem::path folder, dataserver::NativeOptions options,
                  const Logger& log);
};

}  // namespace scistream::proxy

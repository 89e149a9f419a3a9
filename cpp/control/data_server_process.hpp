#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/log.hpp"
#include "control/remote_data_server.hpp"
#include "net/process.hpp"
#include "proxy/container_options.hpp"

namespace scistream::control {

/// How a control server starts the data server beside itself.
struct DataServerLaunch {
  std::filesystem::path executable;       ///< Empty: `s2ds` beside this program, else on the PATH.
  std::filesystem::path state_directory;  ///< Where its socket, lock and log live.
  std::string kind = "Native";            ///< As `--type` spells it.
  bool compat_stunnel = false;            ///< Stunnel as SciStream 1.x has it.
  proxy::ContainerOptions container;
  std::chrono::seconds orphan_grace{60};
  std::string ciphersuites = "AES-128-GCM";
  std::chrono::milliseconds flow_idle{60'000};
  bool verbose = false;
};

/// The data server process beside a control server: used if one answers in the state folder,
/// started if none does. It outlives this object's process. `stop` ends it only if a control server
/// of this state folder started it, this one or one before; the file `s2ds.pid` there says so. Not
/// thread-safe.
class DataServerProcess {
 public:
  DataServerProcess(DataServerLaunch launch, Logger log);
  ~DataServerProcess();
  DataServerProcess(const DataServerProcess&) = delete;
  DataServerProcess& operator=(const DataServerProcess&) = delete;

  /// Connects to the data server, starting it first if none answers. Blocks up to about 5 s.
  /// `failed_precondition` if one of another kind answers.
  Result<std::shared_ptr<dataserver::DataServer>> connect();

  /// Ends what a control server started: SIGTERM, and SIGKILL after 5 s.
  void stop();

 private:
  Status launch();
  /// Takes over what a control server before this one started and left behind.
  void adopt();
  void end();
  void let_go();
  [[nodiscard]] std::filesystem::path record() const;

  DataServerLaunch launch_;
  Logger log_;
  std::string socket_;
  net::Process process_;  ///< That is ours to end, if there is one.
};

/// Where the data server of a state folder listens: `s2ds.sock` in it, or, where that path is
/// longer than a Unix socket allows, a name derived from it in a private folder under /tmp.
Result<std::string> data_server_socket(const std::filesystem::path& state_directory);

/// Asks a data server who it is; `timeout` or `unavailable` if it does not answer in time.
Result<dataserver::Info> ask_info(dataserver::DataServer& data_server,
                                  std::chrono::milliseconds limit);

}  // namespace scistream::control

#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/log.hpp"
#include "control/remote_data_server.hpp"

namespace scistream::control {

/// How a control server starts the data server beside itself.
struct DataServerLaunch {
  std::filesystem::path executable;       ///< Empty: `s2ds` beside this program, else on the PATH.
  std::filesystem::path state_directory;  ///< Where its socket, lock and log live.
  std::chrono::seconds orphan_grace{60};
  bool verbose = false;
};

/// The data server process beside a control server: used if one answers in the state folder,
/// started if none does. It outlives this object's process, and is ended by `stop` only if this
/// object started it. Not thread-safe.
class DataServerProcess {
 public:
  DataServerProcess(DataServerLaunch launch, Logger log);
  ~DataServerProcess();
  DataServerProcess(const DataServerProcess&) = delete;
  DataServerProcess& operator=(const DataServerProcess&) = delete;

  /// Connects to the data server, starting it first if none answers. Blocks up to about 5 s.
  Result<std::shared_ptr<dataserver::DataServer>> connect();

  /// Ends what `connect` started: SIGTERM, and SIGKILL after 5 s.
  void stop();

  /// Of the process started, or -1.
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

 private:
  Status launch();
  void reap(int flags);

  DataServerLaunch launch_;
  Logger log_;
  std::string socket_;
  pid_t pid_ = -1;
};

/// Where the data server of a state folder listens: `s2ds.sock` in it, or, where that path is
/// longer than a Unix socket allows, a name derived from it in a private folder under /tmp.
Result<std::string> data_server_socket(const std::filesystem::path& state_directory);

/// Asks a data server who it is; `timeout` or `unavailable` if it does not answer in time.
Result<dataserver::Info> ask_info(dataserver::DataServer& data_server,
                                  std::chrono::milliseconds limit);

}  // namespace scistream::control

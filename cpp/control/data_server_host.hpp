#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "base/log.hpp"
#include "dataserver/data_server.hpp"
#include "net/tls_suite.hpp"
#include "proxy/container_options.hpp"

namespace scistream::control {

/// What a data server process is started with; the defaults are those of `s2ds serve`.
struct DataServerHostOptions {
  std::string kind = "Native";            ///< As `--type` spells it, in any case.
  bool compat_stunnel = false;            ///< Stunnel as SciStream 1.x has it.
  proxy::ContainerOptions container;      ///< Of the kinds that run in containers.
  std::filesystem::path state_directory;  ///< Its lock, and the socket unless `listen` is given.
  std::optional<Endpoint> listen;         ///< TCP instead of the Unix socket; port 0: a free one.
  std::filesystem::path ca;               ///< PEM; with certificate and key: mutual TLS.
  std::filesystem::path certificate;
  std::filesystem::path key;
  std::size_t threads = 0;  ///< That move bytes; 0: one a core.
  std::vector<net::Ciphersuite> ciphersuites{net::Ciphersuite::aes_128_gcm};
  std::chrono::milliseconds flow_idle{60'000};  ///< Of flows of datagrams.
  /// End this long after the control server has gone and the last live connection has ended;
  /// none: serve until told to stop.
  std::optional<std::chrono::seconds> orphan_grace;
};

/// A data server behind the `scistream.DataServer` service, as a process of its own
/// (S2DS). Owns both. To be used from one thread, `request_stop` from any.
class DataServerHost {
 public:
  DataServerHost(DataServerHostOptions options, Logger log);
  ~DataServerHost();
  DataServerHost(const DataServerHost&) = delete;
  DataServerHost& operator=(const DataServerHost&) = delete;

  /// `already_exists` names who holds the state folder; `invalid_argument` for TCP off loopback
  /// without mutual TLS.
  Status start();

  /// What it is doing, answered on the thread that all its sessions are kept on. From any thread,
  /// between `start` and `stop`.
  void ask_status(dataserver::Callback<std::vector<dataserver::SessionStatus>> done);

  /// `unix:PATH` or `host:port`.
  [[nodiscard]] std::string address() const;

  /// Blocks until `request_stop`, or until it is an orphan for longer than the grace.
  void wait();
  void request_stop();

  /// Cuts every session. Safe to repeat.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace scistream::control

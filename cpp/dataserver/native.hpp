#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/log.hpp"
#include "dataserver/local.hpp"
#include "net/io_threads.hpp"
#include "net/tls_suite.hpp"
#include "relay/options.hpp"

namespace scistream::dataserver {

struct NativeOptions {
  /// Threads that move bytes, if the data server makes its own; 0 is one a core.
  std::size_t io_threads = 0;
  /// Of encrypted sessions, in order of preference; not empty.
  std::vector<net::Ciphersuite> ciphersuites{net::Ciphersuite::aes_128_gcm};
  relay::Options relay;
};

/// A base, so that the threads outlive what moves on them.
struct NativeThreads {
  std::unique_ptr<net::IoThreads> threads;  ///< Empty when they are shared.
};
std::unique_ptr<net::IoThreads> own_threads(const NativeOptions& options);

/// The data server inside this process: one relay a session.
class NativeDataServer final : private NativeThreads, public LocalDataServer {
 public:
  /// Makes its own I/O threads.
  NativeDataServer(NativeOptions options, const Logger& log);
  /// Shares `threads`, which must outlive it and run until it is destroyed.
  NativeDataServer(net::IoThreads& shared, NativeOptions options, const Logger& log);
};

}  // namespace scistream::dataserver

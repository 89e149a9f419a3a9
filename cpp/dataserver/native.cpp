#include "dataserver/native.hpp"

#include <thread>
#include <utility>

#include "dataserver/relay_forwarding.hpp"

namespace scistream::dataserver {

namespace {

LocalDataServer::Make relays(net::IoThreads& threads, NativeOptions options, const Logger& log) {
  return [&threads, options = std::move(options), log](boost::asio::io_context&) {
    return std::make_unique<RelayForwarding>(threads, options.ciphersuites, options.relay, log);
  };
}

}  // namespace

std::unique_ptr<net::IoThreads> own_threads(const NativeOptions& options) {
  return std::make_unique<net::IoThreads>(
      options.io_threads != 0 ? options.io_threads : std::thread::hardware_concurrency());
}

NativeDataServer::NativeDataServer(NativeOptions options, const Logger& log)
    : NativeThreads{own_threads(options)},
      LocalDataServer(relays(*threads, std::move(options), log), log) {}

NativeDataServer::NativeDataServer(net::IoThreads& shared, NativeOptions options, const Logger& log)
    : LocalDataServer(relays(shared, std::move(options), log), log) {}

}  // namespace scistream::dataserver

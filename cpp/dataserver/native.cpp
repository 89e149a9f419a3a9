#include "dataserver/native.hpp"

#include <thread>
#include <utility>

#include "dataserver/relay_forwarding.hpp"

namespace scistream::dataserver {

namespace {

std::size_t thread_count(const NativeOptions& options) {
  return options.io_threads != 0 ? options.io_threads : std::thread::hardware_concurrency();
}

LocalDataServer::Make relays(net::IoThreads& threads, NativeOptions options, const Logger& log) {
  return [&threads, options = std::move(options), log](boost::asio::io_context&) {
    return std::make_unique<RelayForwarding>(threads, options.ciphersuites, options.relay, log);
  };
}

}  // namespace

NativeDataServer::NativeDataServer(NativeOptions options, const Logger& log)
    : NativeThreads{std::make_unique<net::IoThreads>(thread_count(options))},
      LocalDataServer(relays(*threads, std::move(options), log), log) {}

NativeDataServer::NativeDataServer(net::IoThreads& shared, NativeOptions options, const Logger& log)
    : LocalDataServer(relays(shared, std::move(options), log), log) {}

}  // namespace scistream::dataserver

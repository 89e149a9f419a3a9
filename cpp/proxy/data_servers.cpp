#include "proxy/data_servers.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "base/text.hpp"
#include "proxy/haproxy.hpp"
#include "proxy/proxy_forwarding.hpp"

namespace scistream::proxy {

namespace {

constexpr const char* native = "Native";

struct ProxyKind {
  const char* name;
  Result<std::unique_ptr<Program>> (*find)();
};
constexpr std::array<ProxyKind, 1> proxies{{{"HaproxySubprocess", haproxy}}};

bool equal_without_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

/// What a kind runs; empty of the native one.
Result<std::unique_ptr<Program>> program_of(std::string_view kind) {
  const auto known = data_server_kind(kind);
  if (!known) return known.error();
  const auto found = std::find_if(proxies.begin(), proxies.end(),
                                  [&known](const ProxyKind& each) { return each.name == *known; });
  if (found == proxies.end()) return std::unique_ptr<Program>();
  auto program = found->find();
  if (program) return program;
  return Error{program.error().cause, "--type " + *known + ": " + program.error().message};
}

}  // namespace

const std::vector<std::string>& data_server_kinds() {
  static const std::vector<std::string> kinds = [] {
    std::vector<std::string> all{native};
    for (const ProxyKind& each : proxies) all.emplace_back(each.name);
    return all;
  }();
  return kinds;
}

Result<std::string> data_server_kind(std::string_view name) {
  for (const std::string& kind : data_server_kinds())
    if (equal_without_case(kind, name)) return kind;
  return Error{Cause::invalid_argument,
               "data server type '" + std::string(name) +
                   "' is not known; known: " + listed(data_server_kinds())};
}

Status can_run(std::string_view kind) {
  const auto program = program_of(kind);
  return program ? Status() : Status(program.error());
}

Result<std::unique_ptr<dataserver::DataServer>> make_data_server(std::string_view kind,
                                                                 std::filesystem::path folder,
                                                                 dataserver::NativeOptions options,
                                                                 const Logger& log) {
  using Made = std::unique_ptr<dataserver::DataServer>;
  auto program = program_of(kind);
  if (!program) return program.error();
  if (!*program)
    return Made(std::make_unique<dataserver::NativeDataServer>(std::move(options), log));
  return Made(std::make_unique<ProxyDataServer>(std::move(*program), std::move(folder),
                                                std::move(options), log));
}

ProxyDataServer::ProxyDataServer(std::shared_ptr<const Program> program,
                                 std::filesystem::path folder, dataserver::NativeOptions options,
                                 const Logger& log)
    : NativeThreads{dataserver::own_threads(options)},
      LocalDataServer(
          [&](boost::asio::io_context& bookkeeping) {
            auto relays = std::make_unique<dataserver::RelayForwarding>(
                *threads, options.ciphersuites, options.relay, log);
            return std::make_unique<ProxyForwarding>(bookkeeping, std::move(program),
                                                     std::move(folder), std::move(relays), log);
          },
          log) {}

}  // namespace scistream::proxy

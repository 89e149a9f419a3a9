#include "proxy/data_servers.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

#include "base/text.hpp"
#include "proxy/contained.hpp"
#include "proxy/container.hpp"
#include "proxy/installed.hpp"
#include "proxy/proxy_forwarding.hpp"

namespace scistream::proxy {

namespace {

constexpr const char* native = "Native";
constexpr const char* stunnel = "StunnelSubprocess";
constexpr const char* stunnel_in_container = "Stunnel";

struct ProxyKind {
  const char* name;
  Result<Program> (*find)(const DataServerPlan& plan);
  bool contained = false;
};
constexpr std::array proxies{ProxyKind{"HaproxySubprocess", installed_haproxy},
                             ProxyKind{"NginxSubprocess", installed_nginx},
                             ProxyKind{stunnel, installed_stunnel},
                             ProxyKind{"Haproxy", contained_haproxy, true},
                             ProxyKind{"Nginx", contained_nginx, true},
                             ProxyKind{stunnel_in_container, contained_stunnel, true}};

constexpr std::chrono::milliseconds process_start_limit{5'000};

bool equal_without_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

/// What a plan's data server runs; nothing of the native one.
Result<std::optional<Program>> program_of(const DataServerPlan& plan) {
  const auto known = data_server_kind(plan.kind);
  if (!known) return known.error();
  auto announced = announced_kind(*known, plan.compat_stunnel);
  if (!announced) return announced.error();
  const auto found = std::find_if(proxies.begin(), proxies.end(),
                                  [&known](const ProxyKind& each) { return each.name == *known; });
  if (found == proxies.end()) return std::optional<Program>();
  auto program = found->find(plan);
  if (!program)
    return Error{program.error().cause, "--type " + *known + ": " + program.error().message};
  program->kind = std::move(*announced);
  return std::optional(std::move(*program));
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

Result<std::string> announced_kind(std::string_view kind, bool compat_stunnel) {
  auto known = data_server_kind(kind);
  if (!known || !compat_stunnel) return known;
  if (*known == stunnel || *known == stunnel_in_container) return *known + " --compat-stunnel";
  return Error{Cause::invalid_argument, "--compat-stunnel is for --type " + std::string(stunnel) +
                                            " and " + stunnel_in_container + ", not for " + *known};
}

std::chrono::milliseconds start_limit_of(std::string_view kind) {
  // A container to see that the program is there, and those of the sessions that are restored.
  const bool slow = std::any_of(proxies.begin(), proxies.end(), [kind](const ProxyKind& each) {
    return each.contained && each.name == kind.substr(0, kind.find(' '));
  });
  return slow ? 2 * container_start_limit : process_start_limit;
}

Status can_run(const DataServerPlan& plan) {
  const auto program = program_of(plan);
  return program ? Status() : Status(program.error());
}

Result<std::unique_ptr<dataserver::DataServer>> make_data_server(DataServerPlan plan,
                                                                 const Logger& log) {
  using Made = std::unique_ptr<dataserver::DataServer>;
  // The one name that a program which runs there, an engine and the kernel know it by.
  std::error_code ignored;
  plan.folder =
      std::filesystem::weakly_canonical(std::filesystem::absolute(plan.folder, ignored), ignored);
  auto program = program_of(plan);
  if (!program) return program.error();
  if (!*program)
    return Made(std::make_unique<dataserver::NativeDataServer>(std::move(plan.native), log));
  return Made(std::make_unique<ProxyDataServer>(std::move(**program), std::move(plan.folder),
                                                std::move(plan.native), log));
}

ProxyDataServer::ProxyDataServer(Program program, std::filesystem::path folder,
                                 dataserver::NativeOptions options, const Logger& log)
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

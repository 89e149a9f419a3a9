#include "proxy/program.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <cctype>
#include <cstdlib>
#include <sstream>

#include "net/socket_statistics.hpp"

namespace scistream::proxy {

namespace {

constexpr std::chrono::seconds patience{5};

bool is_part_of_version(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.';
}

std::filesystem::path on_path(const std::string& name) {
  const char* path = std::getenv("PATH");
  // Of an ordinary user the PATH leaves out where such programs are.
  std::istringstream folders(std::string(path == nullptr ? "" : path) +
                             ":/usr/local/sbin:/usr/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::filesystem::path candidate = std::filesystem::path(folder) / name;
    if (!folder.empty() && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

}  // namespace

Result<std::filesystem::path> find_program(const std::string& name, const std::string& package) {
  auto found = on_path(name);
  if (!found.empty()) return found;
  return Error{Cause::not_found, "the program '" + name + "' is not on the PATH; install the " +
                                     "package " + package + " (apt-get install " + package + ")"};
}

std::string version_in(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool starts = std::isdigit(static_cast<unsigned char>(text[i])) != 0 &&
                        (i == 0 || !is_part_of_version(text[i - 1]));
    if (!starts) continue;
    const auto end = std::find_if_not(text.begin() + static_cast<std::ptrdiff_t>(i), text.end(),
                                      is_part_of_version);
    const std::string found(text.begin() + static_cast<std::ptrdiff_t>(i), end);
    if (found.find('.') != std::string::npos) return found;
  }
  return {};
}

Result<std::filesystem::path> own_program(const std::string& name) {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  const auto beside = self.parent_path() / name;
  if (!failed && std::filesystem::exists(beside, failed)) return beside;
  auto found = on_path(name);
  if (!found.empty()) return found;
  return Error{Cause::not_found, "the command '" + name + "' is neither in '" +
                                     self.parent_path().string() + "' nor on the PATH"};
}

Result<std::string> said_by(const std::filesystem::path& program, const std::string& flag) {
  boost::asio::io_context context;
  std::string said;
  bool ended = false;
  net::ChildPlan plan;
  plan.arguments = {program.string(), flag};
  const auto child = net::Child::start(
      context, plan, [&said](std::string_view line) { (said += line) += '\n'; },
      [&](int) {
        ended = true;
        context.stop();
      });
  if (!child) return child.error();
  context.run_for(patience);
  (*child)->kill();
  if (ended) return said;
  return Error{Cause::unavailable, "'" + program.string() + " " + flag + "' does not end"};
}

Result<std::string> version_of(const std::filesystem::path& program, const std::string& flag) {
  const auto said = said_by(program, flag);
  if (!said) return said.error();
  auto found = version_in(*said);
  if (!found.empty()) return found;
  return Error{Cause::unavailable,
               "'" + program.string() + " " + flag + "' does not say its version"};
}

void Reading::add(const dataserver::ConnectionStatus& live) {
  counters.bytes_to_producer += live.bytes_to_producer;
  counters.bytes_to_consumer += live.bytes_to_consumer;
  ++counters.connections_active;
  ++counters.connections_total;
  connections.push_back(live);
}

std::string unmapped(std::string host) {
  constexpr std::string_view mapped = "::ffff:";
  const bool is_mapped = host.starts_with(mapped) && host.find('.') != std::string::npos;
  return is_mapped ? host.substr(mapped.size()) : host;
}

std::string name_of(const std::string& peer, std::uint16_t listener) {
  return peer + " " + std::to_string(listener);
}

Result<std::vector<dataserver::ConnectionStatus>> connections_at(
    const std::vector<Endpoint>& listeners, SocketTable& sockets, SocketTable::Time since) {
  const auto all = sockets.look(since);
  if (!all) return all.error();
  const auto came_in = [&listeners](const Endpoint& local) {
    return std::any_of(listeners.begin(), listeners.end(), [&local](const Endpoint& each) {
      return each.port == local.port && (each.host == local.host || is_wildcard(each.host));
    });
  };
  std::vector<dataserver::ConnectionStatus> found;
  // Who connects is the consumer's side, in either role.
  for (const net::SocketStatistics& each : **all) {
    if (came_in(each.local))
      found.push_back({each.id,
                       each.local.port,
                       to_string(each.peer),
                       {},
                       each.bytes_acknowledged,
                       each.bytes_received,
                       each.idle});
  }
  return found;
}

}  // namespace scistream::proxy

#include "proxy/program.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <cctype>
#include <cstdlib>
#include <sstream>

namespace scistream::proxy {

namespace {

constexpr std::chrono::seconds patience{5};

bool is_part_of_version(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.';
}

/// `2.6.12` of `HAProxy version 2.6.12-1+deb12u4`; empty if there is none.
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

}  // namespace

Result<std::filesystem::path> find_program(const std::string& name, const std::string& package) {
  const char* path = std::getenv("PATH");
  // Of an ordinary user the PATH leaves out where such programs are.
  std::istringstream folders(std::string(path == nullptr ? "" : path) +
                             ":/usr/local/sbin:/usr/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::filesystem::path candidate = std::filesystem::path(folder) / name;
    if (!folder.empty() && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return Error{Cause::not_found, "the program '" + name + "' is not on the PATH; install the " +
                                     "package " + package + " (apt-get install " + package + ")"};
}

Result<std::string> version_of(const std::filesystem::path& program, const std::string& flag) {
  boost::asio::io_context context;
  std::string found;
  net::ChildPlan plan;
  plan.arguments = {program.string(), flag};
  const auto child = net::Child::start(
      context, plan,
      [&found](std::string_view line) {
        if (found.empty()) found = version_in(line);
      },
      [&context](int) { context.stop(); });
  if (!child) return child.error();
  context.run_for(patience);
  (*child)->kill();
  if (found.empty()) {
    return Error{Cause::unavailable,
                 "'" + program.string() + " " + flag + "' does not say its version"};
  }
  return found;
}

}  // namespace scistream::proxy

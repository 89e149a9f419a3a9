#include "proxy/haproxy_answers.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

namespace scistream::proxy {

namespace {

/// One line of HAProxy's table by the names of its columns.
using Row = std::map<std::string, std::string>;

std::vector<std::string> fields(const std::string& line) {
  std::vector<std::string> found;
  std::istringstream parts(line);
  for (std::string part; std::getline(parts, part, ',');) found.push_back(part);
  return found;
}

std::vector<Row> rows(const std::string& answer) {
  std::vector<Row> found;
  std::vector<std::string> names;
  std::istringstream lines(answer);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# ")) {
      names = fields(line.substr(2));
      continue;
    }
    const auto values = fields(line);
    Row row;
    for (std::size_t i = 0; i < std::min(names.size(), values.size()); ++i)
      row[names[i]] = values[i];
    if (row.contains("svname")) found.push_back(std::move(row));
  }
  return found;
}

std::uint64_t number(const Row& row, const char* column) {
  const auto found = row.find(column);
  return found == row.end() ? 0 : std::strtoull(found->second.c_str(), nullptr, 10);
}

/// The word behind a name in a line of HAProxy's, `CLO` of ` state=CLO`.
std::string_view field(std::string_view line, std::string_view name) {
  const auto found = line.find(name);
  if (found == std::string_view::npos) return {};
  line.remove_prefix(found + name.size());
  return line.substr(0, line.find_first_of(" )"));
}

}  // namespace

dataserver::Counters counters_in(const std::string& answer) {
  dataserver::Counters counters;
  for (const Row& row : rows(answer)) {
    const std::string& kind = row.at("svname");
    if (kind == "FRONTEND") {
      counters.bytes_to_producer += number(row, "bin");
      counters.bytes_to_consumer += number(row, "bout");
      counters.connections_active += number(row, "scur");
      counters.connections_total += number(row, "stot");
    } else if (kind == "BACKEND") {
      for (const char* column : {"econ", "cli_abrt", "srv_abrt"})
        counters.errors += number(row, column);
    }
  }
  return counters;
}

std::map<std::string, std::string> stuck_in(const std::string& answer) {
  std::map<std::string, std::string> found;
  std::string name;
  std::string moved;
  bool client_gone = false;
  bool target_gone = false;
  bool towards_target = false;
  bool is_stuck = false;
  const auto take = [&] {
    if (is_stuck) found[name] = moved;
  };
  std::istringstream lines(answer);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("0x")) {
      take();
      name = line.substr(0, line.find(':'));
      moved.clear();
      client_gone = target_gone = is_stuck = false;
      continue;
    }
    std::string_view words = line;
    words.remove_prefix(std::min(words.find_first_not_of(' '), words.size()));
    const bool has_ended = field(words, " state=") == "CLO";
    if (words.starts_with("scf=")) client_gone = has_ended;
    if (words.starts_with("scb=")) target_gone = has_ended;
    if (words.starts_with("req=") || words.starts_with("res=")) {
      towards_target = words.starts_with("req=");
      moved += " " + std::string(field(words, " total="));
    }
    if (words.starts_with("buf=") && (towards_target ? target_gone : client_gone)) {
      const std::string_view left = field(words, " o=");
      is_stuck |= !left.empty() && left != "0";
    }
  }
  take();
  return found;
}

}  // namespace scistream::proxy

#include "proxy/haproxy_answers.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <vector>

namespace scistream::proxy {

namespace {

constexpr std::string_view end_of_answer = "\n\n";

Error no_answer() { return {Cause::unavailable, "HAProxy gives no whole answer"}; }

/// The part of a text up to a separator, which is taken from it.
std::string_view take(std::string_view& text, char separator) {
  const auto end = std::min(text.find(separator), text.size());
  const auto part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

std::uint64_t number_in(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

/// A table of HAProxy's: its columns are found by their names, whatever else there is.
class Row {
 public:
  explicit Row(const std::vector<std::string_view>& names) : names_(names) {}
  void read(std::string_view line) {
    values_.clear();
    while (!line.empty()) values_.push_back(take(line, ','));
  }
  [[nodiscard]] std::string_view text(std::string_view name) const {
    const auto which =
        static_cast<std::size_t>(std::find(names_.begin(), names_.end(), name) - names_.begin());
    return which < values_.size() ? values_[which] : std::string_view();
  }
  [[nodiscard]] std::uint64_t number(std::string_view name) const { return number_in(text(name)); }

 private:
  const std::vector<std::string_view>& names_;
  std::vector<std::string_view> values_;
};

/// The word behind a name in a line of HAProxy's, `CLO` of ` state=CLO`.
std::string_view field(std::string_view line, std::string_view name) {
  const auto found = line.find(name);
  if (found == std::string_view::npos) return {};
  line.remove_prefix(found + name.size());
  return line.substr(0, line.find_first_of(" )"));
}

/// What is read of one connection, line by line.
struct Session {
  std::string_view name;
  bool is_ours = false;  ///< Rather than one that asks HAProxy something.
  bool client_gone = false;
  bool target_gone = false;
  bool towards_target = false;
  bool is_stuck = false;
  Moved moved;

  void read(std::string_view words) {
    const bool has_ended = field(words, " state=") == "CLO";
    if (words.starts_with("scf=")) client_gone = has_ended;
    if (words.starts_with("scb=")) target_gone = has_ended;
    if (words.starts_with("req=") || words.starts_with("res=")) {
      towards_target = words.starts_with("req=");
      (towards_target ? moved.to_target : moved.to_client) = number_in(field(words, " total="));
    }
    if (words.starts_with("buf=") && (towards_target ? target_gone : client_gone))
      is_stuck = is_stuck || number_in(field(words, " o=")) > 0;
  }
};

}  // namespace

Result<dataserver::Counters> counters_in(const std::string& answer) {
  std::string_view rest = answer;
  if (!rest.starts_with("# pxname,") || !rest.ends_with(end_of_answer)) return no_answer();
  rest.remove_prefix(2);
  std::vector<std::string_view> names;
  for (std::string_view line = take(rest, '\n'); !line.empty();) names.push_back(take(line, ','));
  dataserver::Counters counters;
  Row row(names);
  while (!rest.empty()) {
    row.read(take(rest, '\n'));
    const std::string_view kind = row.text("svname");
    if (kind == "FRONTEND") {
      counters.bytes_to_producer += row.number("bin");
      counters.bytes_to_consumer += row.number("bout");
      counters.connections_active += row.number("scur");
      counters.connections_total += row.number("stot");
    } else if (kind == "BACKEND") {
      for (const char* column : {"econ", "cli_abrt", "srv_abrt"})
        counters.errors += row.number(column);
    }
  }
  return counters;
}

Result<Sessions> sessions_in(const std::string& answer) {
  std::string_view rest = answer;
  if (!rest.ends_with(end_of_answer)) return no_answer();
  Sessions found;
  Session session;
  const auto take_session = [&] {
    if (!session.is_ours) return;
    ++found.count;
    if (session.is_stuck) found.stuck[std::string(session.name)] = session.moved;
  };
  while (!rest.empty()) {
    std::string_view line = take(rest, '\n');
    if (line.starts_with("0x")) {
      take_session();
      session = {};
      session.is_ours = field(line, " proto=") != "unix_stream";
      session.name = take(line, ':');
      continue;
    }
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    session.read(line);
  }
  take_session();
  return found;
}

}  // namespace scistream::proxy

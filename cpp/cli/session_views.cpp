#include "cli/session_views.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/terminal.hpp"

namespace scistream::cli {

namespace {

std::string gbit(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", value);
  return text;
}

std::string state_of(const session::SessionView& view) {
  std::string state(to_string(view.state));
  if (view.state == session::State::idle && view.phase != session::Phase::fresh) {
    state += view.phase == session::Phase::ready    ? ", ready"
             : view.phase == session::Phase::update ? ", waits for targets"
                                                    : "";
  }
  return state;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (std::size_t i = 0; i < std::min<std::size_t>(texts.size(), 3); ++i)
    all += (i > 0 ? "," : "") + texts[i];
  if (texts.size() > 3) all += ",… " + std::to_string(texts.size()) + " in all";
  return all.empty() ? "-" : all;
}

std::string state_and_note(const session::SessionView& view) {
  return state_of(view) + (view.note.empty() ? "" : "; " + view.note);
}

double rate(std::uint64_t before, std::uint64_t after, double seconds) {
  return seconds > 0 && after >= before ? static_cast<double>(after - before) * 8e-9 / seconds : 0;
}

}  // namespace

nlohmann::json to_json(const dataserver::ConnectionStatus& connection) {
  return {{"id", connection.id},
          {"port", connection.port},
          {"peer", connection.peer},
          {"target", connection.target},
          {"bytes_to_consumer", connection.bytes_to_consumer},
          {"bytes_to_producer", connection.bytes_to_producer},
          {"idle_ms", connection.idle.count()}};
}

nlohmann::json to_json(const session::SessionView& view) {
  return {{"uid", view.key.uid},
          {"role", to_string(view.key.role)},
          {"state", to_string(view.state)},
          {"phase", to_string(view.phase)},
          {"listeners", view.listeners},
          {"targets", view.targets},
          {"num_conn", view.num_conn},
          {"rate_mbps", view.rate_mbps},
          {"rate_is_leased", view.rate_is_leased},
          {"protocol", view.protocol},
          {"transport", view.transport},
          {"protection", view.protection},
          {"labels", view.labels},
          {"age_ms", view.age.count()},
          {"bytes_to_consumer", view.counters.bytes_to_consumer},
          {"bytes_to_producer", view.counters.bytes_to_producer},
          {"connections_active", view.counters.connections_active},
          {"connections_total", view.counters.connections_total},
          {"errors", view.counters.errors},
          {"refused", view.counters.refused},
          {"idle_ms", view.counters.idle.count()},
          {"note", view.note}};
}

std::string session_table(const std::vector<session::SessionView>& views, int fd) {
  std::vector<std::vector<std::string>> rows{{"UID", "ROLE", "STATE", "LISTENERS", "TARGETS",
                                              "CONN", "TO CONSUMER", "TO PRODUCER", "PROTECTION",
                                              "AGE"}};
  for (const auto& view : views) {
    const auto& counters = view.counters;
    rows.push_back({view.key.uid, std::string(to_string(view.key.role)), state_of(view),
                    joined(view.listeners), joined(view.targets),
                    std::to_string(counters.connections_active) + "/" +
                        std::to_string(counters.connections_total),
                    human_bytes(counters.bytes_to_consumer),
                    human_bytes(counters.bytes_to_producer), view.protection,
                    human_duration(static_cast<std::uint64_t>(view.age.count()))});
  }
  std::string text = table(rows, fd);
  for (const auto& view : views)
    if (!view.note.empty()) text += to_string(view.key) + ": " + view.note + "\n";
  return text;
}

std::string connection_table(const std::vector<session::SessionView>& views, int fd) {
  std::vector<std::vector<std::string>> rows{
      {"ROLE", "PORT", "PEER", "TARGET", "TO CONSUMER", "TO PRODUCER", "IDLE"}};
  for (const auto& view : views) {
    for (const auto& connection : view.connections) {
      rows.push_back({std::string(to_string(view.key.role)), std::to_string(connection.port),
                      connection.peer, connection.target.empty() ? "-" : connection.target,
                      human_bytes(connection.bytes_to_consumer),
                      human_bytes(connection.bytes_to_producer),
                      human_duration(static_cast<std::uint64_t>(connection.idle.count()))});
    }
  }
  return rows.size() == 1 ? "no connection is live\n" : table(rows, fd);
}

void LiveTable::take(const session::SessionEvent& event,
                     std::chrono::steady_clock::time_point now) {
  latest_ = event.session.key;
  Row& row = rows_[latest_];
  const auto& before = row.view.counters;
  const auto& after = event.session.counters;
  if (event.kind == session::SessionEvent::Kind::counters &&
      row.at.time_since_epoch().count() != 0) {
    const double seconds = std::chrono::duration<double>(now - row.at).count();
    row.gbit_to_consumer = rate(before.bytes_to_consumer, after.bytes_to_consumer, seconds);
    row.gbit_to_producer = rate(before.bytes_to_producer, after.bytes_to_producer, seconds);
  }
  row.view = event.session;
  row.at = now;
  row.gone = event.kind == session::SessionEvent::Kind::gone;
  row.detail = event.detail;
}

void LiveTable::draw() {
  const bool terminal = is_terminal(STDOUT_FILENO);
  std::vector<std::vector<std::string>> rows{{"ROLE", "STATE", "CONN", "Gbit/s TO CONSUMER",
                                              "Gbit/s TO PRODUCER", "TO CONSUMER", "TO PRODUCER"}};
  for (const auto& [key, row] : rows_) {
    if (!terminal && key != latest_) continue;
    const auto& counters = row.view.counters;
    rows.push_back({std::string(to_string(key.role)),
                    row.gone ? "ended: " + row.detail : state_and_note(row.view),
                    std::to_string(counters.connections_active), gbit(row.gbit_to_consumer),
                    gbit(row.gbit_to_producer), human_bytes(counters.bytes_to_consumer),
                    human_bytes(counters.bytes_to_producer)});
  }
  std::string text = table(rows, STDOUT_FILENO);
  if (!terminal) text.erase(0, lines_drawn_ == 0 ? 0 : text.find('\n') + 1);
  if (terminal && lines_drawn_ > 0) std::printf("\033[%zuA\033[J", lines_drawn_);
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  lines_drawn_ = rows.size();
}

}  // namespace scistream::cli

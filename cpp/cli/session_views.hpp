#pragma once

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "session/types.hpp"

namespace scistream::cli {

/// A session as `--json` shows it; bytes are payload bytes, times milliseconds.
nlohmann::json to_json(const session::SessionView& view);
nlohmann::json to_json(const dataserver::ConnectionStatus& connection);

/// Sessions as a table for people.
std::string session_table(const std::vector<session::SessionView>& views, int fd);
/// Their live connections as a table for people.
std::string connection_table(const std::vector<session::SessionView>& views, int fd);

/// The live table of `--watch`: one row a role, with Gbit/s each way between the last two events.
/// Not thread-safe.
class LiveTable {
 public:
  void take(const session::SessionEvent& event, std::chrono::steady_clock::time_point now);
  /// On a terminal the table redrawn in place, else one line for the latest event.
  void draw();

 private:
  struct Row {
    session::SessionView view;
    std::chrono::steady_clock::time_point at{};
    double gbit_to_consumer = 0;
    double gbit_to_producer = 0;
    bool gone = false;
    std::string detail;
  };

  std::map<SessionKey, Row> rows_;
  SessionKey latest_;
  std::size_t lines_drawn_ = 0;
};

}  // namespace scistream::cli

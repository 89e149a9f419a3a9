#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/node.hpp"

namespace scistream::cli {

/// What a gateway is meant to do.
struct Purpose {
  std::uint64_t mbps = 10'000;       ///< Of one connection over the WAN.
  double round_trip_ms = 50;         ///< Of its path.
  std::uint64_t connections = 4096;  ///< At one time.
  std::string ports;                 ///< The range that s2cs leases, `5000-5099`; empty: unknown.
};

/// One thing that was looked at.
struct Finding {
  enum class State {
    good,
    change,   ///< Worth changing; `remedy` says how and why.
    unknown,  ///< Could not be read.
  };
  std::string check;
  State state = State::good;
  std::string found;
  std::string remedy;
};

std::string to_string(Finding::State state);

/// Looks at everything that limits a data server. Reads files only; any thread.
std::vector<Finding> examine(const Node& node, const Purpose& purpose);

}  // namespace scistream::cli

#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace scistream::cli {

/// What a gateway is meant to do.
struct Purpose {
  std::uint64_t mbps = 10'000;       ///< Of one connection over the WAN.
  double round_trip_ms = 50;         ///< Of its path.
  std::uint64_t connections = 4096;  ///< At one time.
  std::string ports;                 ///< The range that s2cs leases, `5000-5099`; empty: unknown.
};

/// What a gateway is. The files of /proc and /sys are read below `root`.
struct Node {
  std::filesystem::path root = "/";
  std::uint64_t open_files = 0;     ///< A process may have.
  bool privileged = false;          ///< Its kernel does not count the pipes of this process.
  std::uint64_t pipe_bytes = 0;     ///< That a new pipe gets, of 1 MiB.
  bool clock_is_set = true;         ///< It follows a reference.
  double cipher_gb_per_s = 0;       ///< AES-128-GCM on one core.
  bool cipher_instructions = true;  ///< The processor has some for it.
  std::map<std::string, std::string> queue;  ///< Queueing discipline by network interface:
                                             ///< that of its queues, if it has several.
};

/// This machine; measures its cipher for 50 ms. `open_files` is the limit of this process.
Node this_node();

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

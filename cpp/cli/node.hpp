#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace scistream::cli {

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

}  // namespace scistream::cli

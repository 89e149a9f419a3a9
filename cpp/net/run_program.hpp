#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/secret.hpp"

namespace scistream::net {

/// How a program ended, and what it said until then; both may hold what nobody else should read.
struct ProgramEnd {
  int status = 0;  ///< As waitpid(2) says.
  Secret output;
  Secret errors;
};

/// Runs a program, which is looked for in PATH, with this environment and this input, until it
/// ends. It gets no descriptor of ours but these three. Blocks; any thread. `not_found` if there is
/// no such program, `timeout` if it did not end within the limit and was killed, `exhausted` if it
/// says more than a megabyte.
Result<ProgramEnd> run_program(const std::vector<std::string>& arguments, const Secret& input,
                               std::chrono::milliseconds limit);

}  // namespace scistream::net

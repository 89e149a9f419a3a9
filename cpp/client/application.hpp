#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"

namespace scistream::client {

/// Fills `{listener}`, `{host}` and `{port}` (of the first listener) and `{listeners}` (all, joined
/// by commas) into each word. `invalid_argument` if a word needs a listener and there is none.
Result<std::vector<std::string>> fill_placeholders(const std::vector<std::string>& words,
                                                   const std::vector<std::string>& listeners);

/// Starts `words` as a process, with `SCISTREAM_LISTENERS` (joined by commas), `SCISTREAM_UID` and
/// `SCISTREAM_ROLE` in its environment and without those named in `without`, and waits for it.
/// Signals in `forward`, which the caller has blocked, are passed on. Returns its exit code, 128 +
/// n if signal n ended it. `not_found` if there is no such program.
Result<int> run_application(const std::vector<std::string>& words,
                            const std::vector<std::string>& listeners, const std::string& uid,
                            const std::string& role, const std::vector<int>& forward,
                            const std::vector<std::string>& without);

}  // namespace scistream::client

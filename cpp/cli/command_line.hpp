#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "cli/completion.hpp"

namespace scistream::cli {

/// A name as this house spells it: with `-` for `_`.
std::string dashed(std::string name);

/// The arguments as this house spells them: `_` in the names of options and of the commands in
/// `commands` becomes `-`; values, and everything after `--`, stay as they are.
std::vector<std::string> normalized(int argc, char** argv,
                                    const std::vector<std::string>& commands);

/// What an error document needs to know of the command that failed. Refers to the command's own
/// settings, which are filled by the time it is read.
struct Reporting {
  const bool& json;
  const std::string* uid = nullptr;  ///< The session's id, where there is one.
  const bool* lines = nullptr;       ///< Whether stdout holds one document a line.
};

/// Parses and runs one of the commands' programs: turns wrong usage into exit code 2, what `body`
/// returns into the exit code of its cause, and prints errors on stderr. With `json` true when it
/// fails, stdout gets one document with the error. Adds `--shell-completion`; what that prints asks
/// with `--complete -- WORDS`, and `known` has the words that are this user's own.
int run(CLI::App& app, std::vector<std::string> arguments, const std::function<Status()>& body,
        const Reporting& reporting, const KnownWords& known = {});

/// A failure that stdout and stderr tell of already: only its exit code is left to give.
Error already_reported(const Status& failure);

/// True, False and their kin, upper or lower case.
std::optional<bool> parse_switch(std::string text);

/// `--flag`, `--flag=True`, `--flag False`: the spellings in the field of a switch with a value.
/// Adds such a switch to `app`.
CLI::Option* add_switch(CLI::App& app, const std::string& names, bool& value,
                        const std::string& description);

/// A CLI11 check that accepts `0` to no limit, with a unit: 500ms, 30, 30s, 5m, 2h, 1d.
/// Plain numbers are seconds.
Result<std::chrono::milliseconds> parse_duration(const std::string& text);
CLI::Option* add_duration(CLI::App& app, const std::string& names, std::chrono::milliseconds& value,
                          const std::string& description);

/// A check that accepts numbers from `least` to `most`, and not NaN as CLI11's own does.
CLI::Validator within(double least, double most);

/// `{"error": {"cause": …, "message": …, "exit_code": …}}`, on one line if `compact`.
std::string error_document(const Error& error, const std::string& uid, bool compact = false);

/// Prepares a process for gRPC and pipes: SIGPIPE ignored, gRPC's own log lines off unless asked
/// for by GRPC_VERBOSITY. First thing in every main.
void prepare_process();

/// Takes as many file descriptors as this process may have: servers hold some for every connection,
/// and the usual soft limit is there for programs that use select().
void raise_descriptor_limit();

}  // namespace scistream::cli

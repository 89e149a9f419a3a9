#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/completion.hpp"
#include "client/user_client.hpp"

namespace scistream::cli {

/// The options every client command has.
struct ClientSettings {
  std::filesystem::path server_cert;
  std::filesystem::path client_cert;
  std::filesystem::path client_key;
  std::filesystem::path token_file;       ///< Of an access token; empty: as logins say.
  std::string scope;                      ///< Of the login to use; empty: that of each server.
  std::filesystem::path state_directory;  ///< Never empty once `client` was called.
  bool tls = true;
  bool json = false;
  bool verbose = false;
  std::string prod;  ///< Control server of the producer's facility.
  std::string cons;
  std::string s2cs;  ///< One control server, whichever.
};

void add_client_options(CLI::App& app, ClientSettings& settings);
/// `--scope` and `--token-file`: as whom to call.
void add_token_options(CLI::App& app, ClientSettings& settings);
/// `--prod`, `--cons`, `--s2cs`: where a session lives, over what is remembered.
void add_place_options(CLI::App& app, ClientSettings& settings);

/// Chooses the state folder if none was given. Safe to repeat.
void choose_state_directory(ClientSettings& settings);

/// What every request is checked for before anything is asked of a facility.
/// Of `--protocol`.
inline constexpr const char* protocol_help =
    "Of the application: tcp; or udp, whose listeners take datagrams as well as connections";

Status check_amounts(long long num_conn, long long rate_mbps);

/// When to say on stderr that the channel is plaintext. Scripts in the field take anything there
/// for a failure of the commands that they know.
enum class Warnings { always, verbose_only };

/// With certificates read and the state folder chosen.
Result<client::ClientOptions> client_options(ClientSettings& settings,
                                             Warnings warnings = Warnings::always);

/// The control servers named by `--prod`, `--cons` and `--s2cs`, else those remembered for `uid`.
Result<std::vector<Endpoint>> places_of(const ClientSettings& settings,
                                        const client::UserClient& client, const std::string& uid);

/// For the shell: the ids of the sessions that were requested from here, where an id stands, and
/// the control servers that they were requested at, where one of those does.
std::optional<std::vector<Candidate>> known_sessions(const Place& place);

}  // namespace scistream::cli

#include "cli/browser.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string_view>
#include <utility>

#include "base/secret.hpp"
#include "cli/terminal.hpp"
#include "client/redirect_receiver.hpp"

namespace scistream::cli {

namespace {

constexpr std::chrono::minutes patience{10};

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

/// As the tutorial has it.
void show_address(const LoginWish& wish, const std::string& address, std::FILE* out) {
  constexpr const char* line = "------------------------------------";
  const bool is_globus = wish.provider.issuer == client::globus().issuer;
  std::fprintf(out, "Please authenticate with %s here:\n\n%s\n%s\n%s\n\n",
               is_globus ? "Globus" : printable(wish.provider.issuer).c_str(), line,
               printable(address).c_str(), line);
  (void)std::fflush(out);
}

Result<client::Tokens> by_device(client::OAuth& oauth, const LoginWish& wish, std::FILE* out) {
  const auto device = oauth.device_code(wish.provider, wish.client_id, wish.scope);
  if (!device) return device.error();
  show_address(wish, device->full_address.empty() ? device->address : device->full_address, out);
  std::fprintf(out, "The code to enter, or to compare, there: %s\n",
               printable(device->user_code).c_str());
  (void)std::fflush(out);
  return oauth.wait_for_user(wish.provider, wish.client_id, wish.scope, *device);
}

Result<client::Tokens> by_redirect(client::OAuth& oauth, const LoginWish& wish, std::FILE* out,
                                   bool opens) {
  auto receiver = client::RedirectReceiver::open();
  if (!receiver) return receiver.error();
  const auto authorization =
      client::new_authorization(wish.client_id, wish.scope, receiver->address());
  const std::string address = client::address_of(wish.provider, authorization);
  show_address(wish, address, out);
  if (!opens || !open_browser(address))
    std::fprintf(out, "Open it in a browser of this machine.\n");
  if (!wish.provider.paste_redirect.empty())
    std::fprintf(out, "Should it not lead back here, interrupt this and say --no-browser.\n");
  (void)std::fflush(out);
  const auto code = receiver->receive(authorization, wish.provider.issuer, patience);
  if (!code) return code.error();
  return oauth.exchange(wish.provider, authorization, *code);
}

Result<client::Tokens> by_paste(client::OAuth& oauth, const LoginWish& wish, std::FILE* out) {
  const auto authorization =
      client::new_authorization(wish.client_id, wish.scope, wish.provider.paste_redirect);
  show_address(wish, client::address_of(wish.provider, authorization), out);
  std::fprintf(out, "Enter the resulting Authorization Code here: ");
  (void)std::fflush(out);
  std::string line;
  const Wiped wiped(line);
  std::getline(std::cin, line);
  std::string_view code = line;
  constexpr std::string_view blanks = " \t\r\n";
  code.remove_prefix(std::min(code.find_first_not_of(blanks), code.size()));
  code = code.substr(0, code.find_last_not_of(blanks) + 1);
  if (code.empty()) return Error{Cause::cancelled, "no code was entered: you are not logged in"};
  if (!is_one_word(code)) {
    return Error{Cause::invalid_argument,
                 "what was entered is no code: copy what the page shows, and nothing else"};
  }
  return oauth.exchange(wish.provider, authorization, Secret(code));
}

}  // namespace

bool has_browser() {
  return is_terminal(STDOUT_FILENO) && (is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"));
}

bool open_browser(const std::string& address) {
  std::string program = "xdg-open";
  std::string argument = address;
  char* const arguments[] = {program.data(), argument.data(), nullptr};
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  // What browsers say of themselves is not for this terminal.
  for (const int each : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    ::posix_spawn_file_actions_addopen(&files, each, "/dev/null", O_RDWR, 0);
  sigset_t ignored_here;
  ::sigemptyset(&ignored_here);
  ::sigaddset(&ignored_here, SIGPIPE);
  ::posix_spawnattr_setsigdefault(&attributes, &ignored_here);
  // A session of its own: Ctrl-C here is not for the browser.
  sigset_t blocked;
  ::sigemptyset(&blocked);
  ::posix_spawnattr_setsigmask(&attributes, &blocked);
  ::posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
  pid_t pid = 0;
  const int failed = ::posix_spawnp(&pid, program.c_str(), &files, &attributes, arguments, environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  return failed == 0;
}

Result<client::Tokens> tokens_by_user(client::OAuth& oauth, const LoginWish& wish, std::FILE* out) {
  const client::Provider& provider = wish.provider;
  if (wish.device) return by_device(oauth, wish, out);
  if (!wish.no_browser && has_browser()) return by_redirect(oauth, wish, out, true);
  if (provider.device_authorization) return by_device(oauth, wish, out);
  if (!provider.paste_redirect.empty()) return by_paste(oauth, wish, out);
  return by_redirect(oauth, wish, out, false);
}

}  // namespace scistream::cli

#include "client/keyring.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/sealed.hpp"
#include "base/text.hpp"
#include "net/run_program.hpp"

namespace scistream::client {

namespace {

/// Somebody may have to type a password.
constexpr std::chrono::seconds patience{60};

bool has_desktop() {
  if (environment_variable("SCISTREAM_KEYRING") == "off") return false;
  if (!environment_variable("DBUS_SESSION_BUS_ADDRESS").empty()) return true;
  const std::string runtime = environment_variable("XDG_RUNTIME_DIR");
  std::error_code none;
  return !runtime.empty() && std::filesystem::exists(std::filesystem::path(runtime) / "bus", none);
}

Error unusable(std::string_view why) {
  while (!why.empty() && (why.back() == '\n' || why.back() == ' ')) why.remove_suffix(1);
  return {Cause::unavailable, "the system keyring cannot be used: " +
                                  (why.empty() ? "it does not say why" : std::string(why))};
}

/// What tells our key from whatever else is there.
std::vector<std::string> command(std::vector<std::string> words,
                                 const std::filesystem::path& folder) {
  words.insert(words.begin(), "secret-tool");
  for (const std::string& each :
       {std::string("service"), std::string("scistream"), std::string("folder"), folder.string()})
    words.push_back(each);
  return words;
}

}  // namespace

std::unique_ptr<Keyring> SystemKeyring::for_folder(const std::filesystem::path& folder) {
  if (folder.empty() || !has_desktop()) return nullptr;
  std::error_code failed;
  auto whole = std::filesystem::absolute(folder, failed).lexically_normal();
  if (failed) return nullptr;
  return std::unique_ptr<Keyring>(new SystemKeyring(std::move(whole)));
}

Result<Secret> SystemKeyring::find() {
  const std::lock_guard lock(mutex_);
  if (known_) return *known_;
  const auto ask = [this]() -> Result<Secret> {
    const auto end = net::run_program(command({"lookup"}, folder_), Secret(), patience);
    if (!end) return unusable(end.error().message);
    // What it does not have, it says nothing of; libraries beneath it may warn of anything.
    if (end->status != 0 && !end->errors.empty()) return unusable(end->errors.view());
    if (end->status != 0 || end->output.empty()) return Secret();
    auto key = Secret::from_hex(end->output.view(), sealing_key_size);
    return key ? std::move(key) : unusable("its key is none of ours");
  };
  auto found = ask();
  // One that is made meanwhile must be seen.
  if (!found || !found->empty()) known_ = found;
  return found;
}

Result<Secret> SystemKeyring::make() {
  const std::lock_guard lock(mutex_);
  if (known_ && !*known_) return *known_;
  Secret key = Secret::random(sealing_key_size);
  std::string text = key.hex();
  const Wiped wiped(text);
  // secret-tool takes no line's end away.
  const auto end = net::run_program(command({"store", "--label=SciStream logins"}, folder_),
                                    Secret(std::string_view(text)), patience);
  if (!end) {
    known_ = unusable(end.error().message);
  } else if (end->status != 0) {
    known_ = unusable(end->errors.view());
  } else {
    known_ = std::move(key);
  }
  return *known_;
}

}  // namespace scistream::client

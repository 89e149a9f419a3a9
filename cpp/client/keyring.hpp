#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>

#include "base/error.hpp"
#include "base/secret.hpp"

namespace scistream::client {

/// Keeps one key for a folder of logins, where its user's passwords are kept. Any thread.
class Keyring {
 public:
  virtual ~Keyring() = default;
  /// The key; empty if it has none yet. `unavailable` if it cannot be asked, or stays locked.
  virtual Result<Secret> find() = 0;
  /// Keeps a new one in its place.
  virtual Result<Secret> make() = 0;
};

/// The keyring of a desktop (freedesktop.org Secret Service: GNOME Keyring, KWallet, KeePassXC),
/// through `secret-tool` of libsecret. May ask its user to unlock it, and waits for that; blocks
/// once only, whatever comes of it.
class SystemKeyring final : public Keyring {
 public:
  /// For the logins in `folder`. Nothing where no desktop runs, or SCISTREAM_KEYRING is `off`.
  static std::unique_ptr<Keyring> for_folder(const std::filesystem::path& folder);

  Result<Secret> find() override;
  Result<Secret> make() override;

 private:
  explicit SystemKeyring(std::filesystem::path folder) : folder_(std::move(folder)) {}

  const std::filesystem::path folder_;
  std::mutex mutex_;
  std::optional<Result<Secret>> known_;
};

}  // namespace scistream::client

#pragma once

#include <filesystem>
#include <memory>

#include "base/log.hpp"
#include "base/secret.hpp"
#include "session/store.hpp"

namespace scistream::session {

/// Sessions in an SQLite file of their own, mode 0600, with a write-ahead log beside it: what was
/// written survives the death of the process at once, and that of the machine with its next sync.
/// For one process at a time. A file of 1 MiB beside them keeps space for forgetting sessions when
/// the disk is full.
class SqliteStore final : public Store {
 public:
  /// Opens the file, or makes it. One that is damaged is moved aside, its new name logged, and an
  /// empty one takes its place. `failed_precondition`: a newer version of this software made it.
  /// With a key (base/sealed.hpp), what is written of a session is sealed with it, all but its id,
  /// its role and, once it has ended, its owner.
  static Result<std::unique_ptr<SqliteStore>> open(const std::filesystem::path& path, Logger log,
                                                   Secret key = {});
  ~SqliteStore() override;
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;

  Status save(const StoredSession& session) override;
  Status forget(const SessionKey& session, const std::string& owner,
                std::chrono::system_clock::time_point when) override;
  Status tidy() override;
  /// A session that cannot be read is logged, left out and removed. `failed_precondition` if one is
  /// sealed with another key: nothing is removed then.
  Result<Contents> load() override;

 private:
  class Database;
  class Reserve;
  SqliteStore(std::unique_ptr<Database> database, std::unique_ptr<Reserve> reserve, Logger log,
              Secret key);
  [[nodiscard]] std::string record_of(const StoredSession& session) const;

  std::unique_ptr<Database> database_;
  std::unique_ptr<Reserve> reserve_;
  Logger log_;
  const Secret key_;           ///< Empty: nothing is sealed.
  std::size_t forgotten_ = 0;  ///< Since old ids were last cleared away.
};

}  // namespace scistream::session

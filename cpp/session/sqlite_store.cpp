#include "session/sqlite_store.hpp"

#include <fcntl.h>
#include <sqlite3.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "base/sealed.hpp"
#include "net/fd.hpp"
#include "session/released_ids.hpp"
#include "session/stored_json.hpp"

namespace scistream::session {

namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

/// What each version of the store added to the one before.
constexpr std::array schema{
    "CREATE TABLE session (uid TEXT NOT NULL, role TEXT NOT NULL, record TEXT NOT NULL,"
    " PRIMARY KEY (uid, role));"
    "CREATE TABLE released (uid TEXT PRIMARY KEY, at_ms INTEGER NOT NULL);"
    "CREATE INDEX released_at ON released (at_ms);"
    "PRAGMA user_version = 1;",
    "ALTER TABLE released ADD COLUMN owner TEXT NOT NULL DEFAULT '';"
    "PRAGMA user_version = 2;"};
constexpr std::int64_t schema_version = schema.size();
/// Keys are wiped from pages that become free. The folder's lock keeps others away.
constexpr const char* settings =
    "PRAGMA locking_mode = EXCLUSIVE;"
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = NORMAL;"
    "PRAGMA secure_delete = ON;";
/// SQLite's own limit, of what it is compiled with most often.
constexpr std::size_t longest_path = 500;
constexpr std::size_t clear_every = 256;
/// In front of a record that is sealed; no JSON document begins so.
const std::string sealed_mark = "sealed:";
constexpr const char* shorten_log = "PRAGMA wal_checkpoint(TRUNCATE)";
/// Room for what is in the log and not in the file yet, and for the log of the next transactions.
constexpr off_t reserve_bytes = 1 << 20;

std::int64_t to_ms(system_clock::time_point time) {
  return std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count();
}

bool is_damage(int code) {
  return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

bool is_full(int code) { return (code & 0xff) == SQLITE_FULL; }

}  // namespace

/// An open file and its prepared statements.
class SqliteStore::Database {
 public:
  explicit Database(std::filesystem::path path) : path_(std::move(path)) {}
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database() {
    for (sqlite3_stmt* statement : {save_, remove_, remember_}) sqlite3_finalize(statement);
    sqlite3_close(connection_);
  }

  /// SQLITE_OK, or what is wrong.
  int open() {
    // SQLite itself would let others read it.
    const net::Fd file(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!file) {
      opening_ = errno;
      return SQLITE_CANTOPEN;
    }
    int code = sqlite3_open_v2(path_.c_str(), &connection_,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
    if (code != SQLITE_OK) return code;
    sqlite3_extended_result_codes(connection_, 1);
    if (code = run(settings); code != SQLITE_OK) return code;
    if (code = check(); code != SQLITE_OK) return code;
    if (code = number("PRAGMA user_version", version_); code != SQLITE_OK) return code;
    if (version_ < 0 || version_ > schema_version) return SQLITE_OK;
    for (; version_ < schema_version; ++version_) {
      const char* step = schema.at(static_cast<std::size_t>(version_));
      if (code = transaction([&] { return run(step); }); code != SQLITE_OK) return code;
    }
    for (const auto& [statement, text] :
         {std::pair{&save_, "INSERT OR REPLACE INTO session VALUES (?1, ?2, ?3)"},
          {&remove_, "DELETE FROM session WHERE uid = ?1 AND role = ?2"},
          {&remember_,
           "INSERT OR REPLACE INTO released (uid, owner, at_ms) VALUES (?1, ?2, ?3)"}}) {
      code =
          sqlite3_prepare_v3(connection_, text, -1, SQLITE_PREPARE_PERSISTENT, statement, nullptr);
      if (code != SQLITE_OK) return code;
    }
    return SQLITE_OK;
  }

  [[nodiscard]] std::int64_t version() const { return version_; }

  [[nodiscard]] Error error(int code) const {
    const std::string what = "the session store '" + path_.string() + "': ";
    if (code == SQLITE_CANTOPEN && path_.string().size() > longest_path)
      return {Cause::failure, what + "its path is too long, move it (--state-dir)"};
    if (opening_ != 0) return errno_error(what + "cannot be opened", opening_);
    const char* why = connection_ != nullptr && sqlite3_extended_errcode(connection_) == code
                          ? sqlite3_errmsg(connection_)
                          : sqlite3_errstr(code);
    return {is_full(code) ? Cause::exhausted : Cause::failure, what + why};
  }

  int run(const char* text) { return sqlite3_exec(connection_, text, nullptr, nullptr, nullptr); }

  template <class Work>
  int transaction(Work work) {
    int code = run("BEGIN IMMEDIATE");
    if (code != SQLITE_OK) return code;
    code = work();
    if (code == SQLITE_OK) code = run("COMMIT");
    if (code != SQLITE_OK) run("ROLLBACK");
    return code;
  }

  int save(const SessionKey& key, const std::string& record) {
    bind(save_, 1, key.uid);
    bind(save_, 2, std::string(to_string(key.role)));
    bind(save_, 3, record);
    return finish(save_);
  }

  int remove(const std::string& uid, const std::string& role) {
    bind(remove_, 1, uid);
    bind(remove_, 2, role);
    return finish(remove_);
  }

  int remember(const std::string& uid, const std::string& owner, std::int64_t at_ms) {
    bind(remember_, 1, uid);
    bind(remember_, 2, owner);
    sqlite3_bind_int64(remember_, 3, at_ms);
    return finish(remember_);
  }

  /// Calls `row(columns…)` for each row of a query.
  template <class Row>
  int each(const std::string& query, Row row) {
    sqlite3_stmt* statement = nullptr;
    int code = sqlite3_prepare_v2(connection_, query.c_str(), -1, &statement, nullptr);
    if (code != SQLITE_OK) return code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) row(statement);
    sqlite3_finalize(statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
  }

  static std::string text(sqlite3_stmt* statement, int column) {
    const auto* bytes = sqlite3_column_blob(statement, column);
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, column));
    return bytes == nullptr ? std::string() : std::string(static_cast<const char*>(bytes), size);
  }

 private:
  int number(const char* query, std::int64_t& value) {
    return each(query, [&](sqlite3_stmt* row) { value = sqlite3_column_int64(row, 0); });
  }

  /// A file may open well and still be damaged further in.
  int check() {
    bool sound = true;
    const int code =
        each("PRAGMA quick_check(1)", [&](sqlite3_stmt* row) { sound = text(row, 0) == "ok"; });
    return code == SQLITE_OK && !sound ? SQLITE_CORRUPT : code;
  }

  static void bind(sqlite3_stmt* statement, int position, const std::string& value) {
    sqlite3_bind_text(statement, position, value.data(), static_cast<int>(value.size()),
                      SQLITE_TRANSIENT);
  }

  static int finish(sqlite3_stmt* statement) {
    const int stepped = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return stepped == SQLITE_DONE ? SQLITE_OK : stepped;
  }

  const std::filesystem::path path_;
  int opening_ = 0;  ///< errno of the first open.
  sqlite3* connection_ = nullptr;
  sqlite3_stmt* save_ = nullptr;
  sqlite3_stmt* remove_ = nullptr;
  sqlite3_stmt* remember_ = nullptr;
  std::int64_t version_ = 0;
};

/// Space that is kept so that a session which ends on a full disk can still be forgotten.
class SqliteStore::Reserve {
 public:
  explicit Reserve(std::filesystem::path path) : path_(std::move(path)) { refill(); }

  /// Takes the space if there is enough.
  void refill() {
    const net::Fd file(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (file && ::posix_fallocate(file.get(), 0, reserve_bytes) != 0) spend();
  }

  /// Gives it back; whether there was any.
  bool spend() {
    std::error_code ignored;
    return std::filesystem::remove(path_, ignored);
  }

 private:
  const std::filesystem::path path_;
};

SqliteStore::SqliteStore(std::unique_ptr<Database> database, std::unique_ptr<Reserve> reserve,
                         Logger log, Secret key)
    : database_(std::move(database)),
      reserve_(std::move(reserve)),
      log_(std::move(log)),
      key_(std::move(key)) {}
SqliteStore::~SqliteStore() = default;

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::filesystem::path& path,
                                                       Logger log, Secret key) {
  auto database = std::make_unique<Database>(path);
  int code = database->open();
  if (is_damage(code)) {
    const auto aside = path.string() + ".damaged-" + std::to_string(to_ms(system_clock::now()));
    log->error("{}; it is kept as '{}', and sessions from before are not known any more",
               database->error(code).message, aside);
    database.reset();
    std::error_code failed;
    std::filesystem::rename(path, aside, failed);
    std::error_code ignored;
    for (const char* beside : {"-wal", "-shm"})
      std::filesystem::rename(path.string() + beside, aside + beside, ignored);
    if (failed) {
      return Error{Cause::failure,
                   "the session store '" + path.string() +
                       "' is damaged and cannot be moved aside: " + failed.message()};
    }
    database = std::make_unique<Database>(path);
    code = database->open();
  }
  if (code != SQLITE_OK) return database->error(code);
  if (database->version() < 0 || database->version() > schema_version) {
    return Error{Cause::failed_precondition,
                 "the session store '" + path.string() +
                     "' was made by a newer version; use that one, or move the file away"};
  }
  auto reserve = std::make_unique<Reserve>(path.string() + "-reserve");
  return std::unique_ptr<SqliteStore>(
      new SqliteStore(std::move(database), std::move(reserve), std::move(log), std::move(key)));
}

std::string SqliteStore::record_of(const StoredSession& session) const {
  std::string text = to_json(session);
  if (key_.empty()) return text;
  const Wiped wiped(text);
  return sealed_mark + seal(key_, to_string(session.request.key), text);
}

Status SqliteStore::save(const StoredSession& session) {
  const int code = database_->save(session.request.key, record_of(session));
  return code == SQLITE_OK ? Status() : database_->error(code);
}

Status SqliteStore::forget(const SessionKey& session, const std::string& owner,
                           system_clock::time_point when) {
  const bool clear = ++forgotten_ >= clear_every;
  const auto work = [&] {
    int step = database_->remove(session.uid, std::string(to_string(session.role)));
    if (step == SQLITE_OK) step = database_->remember(session.uid, owner, to_ms(when));
    if (step != SQLITE_OK || !clear) return step;
    const auto old = to_ms(when - ReleasedIds::memory);
    step = database_->run(("DELETE FROM released WHERE at_ms < " + std::to_string(old)).c_str());
    if (step != SQLITE_OK) return step;
    return database_->run(("DELETE FROM released WHERE uid IN (SELECT uid FROM released"
                           " ORDER BY at_ms DESC LIMIT -1 OFFSET " +
                           std::to_string(ReleasedIds::most) + ")")
                              .c_str());
  };
  int code = database_->transaction(work);
  if (is_full(code) && reserve_->spend()) {
    // The log is the larger part of what the store takes.
    (void)database_->run(shorten_log);
    code = database_->transaction(work);
    reserve_->refill();
  }
  if (code != SQLITE_OK) return database_->error(code);
  if (clear) forgotten_ = 0;
  return {};
}

Status SqliteStore::tidy() {
  // Freed pages of the file are wiped at once, but the log keeps what was in them.
  const int code = database_->run(shorten_log);
  reserve_->refill();
  return code == SQLITE_OK ? Status() : database_->error(code);
}

Result<Store::Contents> SqliteStore::load() {
  Contents contents;
  std::vector<std::pair<std::string, std::string>> unreadable;
  bool is_locked = false;
  int code = database_->each(
      "SELECT uid, role, record FROM session ORDER BY uid, role", [&](sqlite3_stmt* row) {
        std::string record = Database::text(row, 2);
        const Wiped wiped(record);
        if (record.starts_with(sealed_mark)) {
          const auto opened =
              key_.empty() ? std::nullopt
                           : unseal(key_, Database::text(row, 0) + "/" + Database::text(row, 1),
                                    std::string_view(record).substr(sealed_mark.size()));
          if (!opened) {
            is_locked = true;
            return;
          }
          record = opened->view();
        }
        auto session = stored_session(record);
        if (session) {
          contents.sessions.push_back(std::move(*session));
          return;
        }
        unreadable.emplace_back(Database::text(row, 0), Database::text(row, 1));
        log_->error("session {}/{}: {}", unreadable.back().first, unreadable.back().second,
                    session.error().message);
      });
  if (is_locked) {
    return Error{Cause::failed_precondition,
                 "the session store is sealed with another facility key, or a damaged one: give "
                 "the one that it was made with, or move the store away"};
  }
  if (code == SQLITE_OK) {
    code = database_->each(
        "SELECT uid, owner, at_ms FROM (SELECT uid, owner, at_ms FROM released"
        " ORDER BY at_ms DESC LIMIT " +
            std::to_string(ReleasedIds::most) + ") ORDER BY at_ms",
        [&](sqlite3_stmt* row) {
          contents.released.push_back(
              {Database::text(row, 0), Database::text(row, 1),
               system_clock::time_point(milliseconds(sqlite3_column_int64(row, 2)))});
        });
  }
  for (const auto& [uid, role] : unreadable) {
    if (code == SQLITE_OK) code = database_->remove(uid, role);
  }
  if (code != SQLITE_OK) return database_->error(code);
  return contents;
}

}  // namespace scistream::session

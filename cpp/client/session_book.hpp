#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "scistream/endpoint.hpp"

namespace scistream::client {

/// Where one session lives, as the user client remembers it. Holds no keys.
struct BookEntry {
  std::string uid;
  std::string prod;              ///< Control server of the producer's facility, host:port.
  std::string cons;              ///< Control server of the consumer's facility, host:port.
  std::int64_t created = 0;      ///< Seconds since 1970.
  std::int64_t nanoseconds = 0;  ///< After these.
  std::int64_t asked = 0;        ///< The latest request of this id, seconds since 1970.

  /// Of a session that is requested now, nowhere yet.
  static BookEntry of_now(std::string uid);
  /// Its control servers, each once; an error if one of them is none.
  [[nodiscard]] Result<std::vector<Endpoint>> servers() const;
  bool operator==(const BookEntry&) const = default;
};

/// The sessions this user has requested: one file each in `sessions/` of the state folder, so
/// that two commands at once do not get in each other's way. Any thread.
class SessionBook {
 public:
  explicit SessionBook(const std::filesystem::path& state_directory);

  /// As `remember`, but only if there is no entry of this id yet; whether there was none.
  [[nodiscard]] Result<bool> claim(const BookEntry& entry) const;
  [[nodiscard]] Status remember(const BookEntry& entry) const;
  /// Notes that an id which may be here is about to be requested again: whoever wants to forget
  /// the session before sees that the entry has changed.
  void touch(const std::string& uid) const;
  /// `not_found` if this client did not request it.
  [[nodiscard]] Result<BookEntry> find(const std::string& uid) const;
  /// Oldest first; files that cannot be read, or do not have their session's name, are left out.
  [[nodiscard]] std::vector<BookEntry> all() const;
  void forget(const std::string& uid) const;

 private:
  [[nodiscard]] std::filesystem::path path_of(const std::string& uid) const;

  std::filesystem::path directory_;
};

}  // namespace scistream::client

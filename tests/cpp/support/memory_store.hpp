#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "session/store.hpp"
#include "session/stored_json.hpp"

namespace scistream {

/// A store for tests of its users: outlives them, and fails when told to. Keeps what a real one
/// would keep, no more. Not thread-safe.
class MemoryStore final : public session::Store {
 public:
  /// Every call fails with this while it is set.
  std::optional<Error> fail;

  int tidied = 0;
  std::map<SessionKey, std::string> records;
  std::map<std::string, std::chrono::system_clock::time_point> released;
  std::map<std::string, std::string> owners;  ///< Of these.

  Status save(const session::StoredSession& session) override {
    if (fail) return *fail;
    records[session.request.key] = to_json(session);
    return {};
  }

  Status forget(const SessionKey& session, const std::string& owner,
                std::chrono::system_clock::time_point when) override {
    if (fail) return *fail;
    records.erase(session);
    released[session.uid] = when;
    owners[session.uid] = owner;
    return {};
  }

  Status tidy() override {
    if (fail) return *fail;
    ++tidied;
    return {};
  }

  Result<Contents> load() override {
    if (fail) return *fail;
    Contents contents;
    for (const auto& [key, record] : records) {
      auto session = session::stored_session(record);
      if (!session) return session.error();
      contents.sessions.push_back(std::move(*session));
    }
    for (const auto& [uid, when] : released) contents.released.push_back({uid, owners[uid], when});
    return contents;
  }
};

}  // namespace scistream

#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>

#include "client/ask_all.hpp"
#include "client/named.hpp"
#include "client/user_client.hpp"

namespace scistream::client {

namespace {

using Views = std::vector<session::SessionView>;

/// Of sessions at one server.
struct Question {
  Endpoint server;
  std::vector<std::string> uids;
};

/// What a server takes at once, and what fits into one answer.
constexpr std::size_t most_uids = 1'000;

std::vector<Question> questions_about(const std::vector<RequestedSession>& sessions) {
  std::map<Endpoint, std::size_t> latest;  // where more of a server's ids go
  std::vector<Question> questions;
  for (const RequestedSession& session : sessions) {
    for (const Endpoint& server : session.servers) {
      const auto found = latest.find(server);
      if (found == latest.end() || questions[found->second].uids.size() == most_uids) {
        latest[server] = questions.size();
        questions.push_back({server, {}});
      }
      questions[latest[server]].uids.push_back(session.uid);
    }
  }
  return questions;
}

/// What nobody shows has ended, is still on its way, or belongs to another login of the same user,
/// from whom servers hide it.
constexpr std::int64_t kept_s = 7L * 24 * 60 * 60;

bool is_old(const BookEntry& entry) { return BookEntry::of_now("").asked - entry.asked >= kept_s; }

}  // namespace

Result<SessionList> UserClient::sessions(Interrupt* interrupt) {
  const auto& folder = options_.state_directory;
  if (folder.empty()) return SessionList{};
  std::error_code unknown;
  if (std::filesystem::exists(folder, unknown) && !std::filesystem::is_directory(folder, unknown))
    return Error{Cause::invalid_argument, "'" + folder.string() + "' is not a folder"};
  std::vector<BookEntry> entries;
  std::vector<RequestedSession> sessions;
  for (BookEntry& entry : book_.all()) {
    auto servers = entry.servers();
    if (!servers) continue;  // somebody has changed the file
    sessions.push_back({entry.uid, entry.created, std::move(*servers), {}, {}});
    entries.push_back(std::move(entry));
  }
  const std::vector<Question> questions = questions_about(sessions);
  const auto answers =
      ask_all<Views>(questions, interrupt, [&](const Question& question, auto done) {
        return at(question.server).list(question.uids, done);
      });
  if (interrupt != nullptr && interrupt->is_triggered())
    return Error{Cause::cancelled, "interrupted"};

  SessionList list;
  std::unordered_map<std::string, RequestedSession*> by_uid;
  for (RequestedSession& session : sessions) by_uid[session.uid] = &session;
  std::map<Endpoint, Error> silent;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    const auto& [server, uids] = questions[i];
    if (!answers[i]) {
      const Error why = named(server, answers[i].error());
      for (const std::string& uid : uids) by_uid[uid]->errors.push_back(why);
      silent.emplace(server, why);
      continue;
    }
    for (const session::SessionView& view : *answers[i]) {
      const auto found = by_uid.find(view.key.uid);
      if (found != by_uid.end()) merge(found->second->views, {view});
    }
  }
  list.silent.assign(silent.begin(), silent.end());
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    if (!sessions[i].views.empty() || !sessions[i].errors.empty()) {
      list.sessions.push_back(std::move(sessions[i]));
    } else if (is_old(entries[i])) {
      // The answers took their time: this id may have been requested again meanwhile.
      const auto now = book_.find(entries[i].uid);
      if (now && *now == entries[i]) forget(entries[i].uid);
    }
  }
  return list;
}

}  // namespace scistream::client

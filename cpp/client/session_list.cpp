#include <chrono>
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

/// Nobody shows it. A young one may still be on its way.
bool has_ended(const RequestedSession& session) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return now.time_since_epoch().count() - session.created >=
         std::chrono::ceil<std::chrono::seconds>(SessionRequest{}.timeout).count();
}

}  // namespace

Result<SessionList> UserClient::sessions(Interrupt* interrupt) {
  if (options_.state_directory.empty()) return SessionList{};
  std::vector<RequestedSession> sessions;
  for (const BookEntry& entry : book_.all()) {
    auto servers = servers_of(entry);
    if (!servers) continue;  // somebody has changed the file
    sessions.push_back({entry.uid, entry.created, std::move(*servers), {}, {}});
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
  for (RequestedSession& session : sessions) {
    if (!session.views.empty() || !session.errors.empty()) {
      list.sessions.push_back(std::move(session));
    } else if (has_ended(session)) {
      // The answers took their time: another of this id may have been requested meanwhile.
      const auto entry = book_.find(session.uid);
      if (entry && entry->created == session.created) forget(session.uid);
    }
  }
  return list;
}

}  // namespace scistream::client

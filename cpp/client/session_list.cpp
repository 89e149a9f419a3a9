#include <chrono>
#include <map>
#include <unordered_map>
#include <utility>

#include "client/ask_all.hpp"
#include "client/user_client.hpp"

namespace scistream::client {

namespace {

using Views = std::vector<session::SessionView>;

/// Nobody knows it. A young one may still be on its way.
bool has_ended(const RequestedSession& session) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return now.time_since_epoch().count() - session.created >=
         std::chrono::ceil<std::chrono::seconds>(SessionRequest{}.timeout).count();
}

}  // namespace

Result<SessionList> UserClient::sessions(Interrupt* interrupt) {
  if (options_.state_directory.empty()) return SessionList{};
  std::vector<RequestedSession> sessions;
  std::map<Endpoint, std::vector<std::string>> asked;
  for (const BookEntry& entry : book_.all()) {
    auto servers = servers_of(entry);
    if (!servers) continue;  // somebody has changed the file
    for (const Endpoint& server : *servers) asked[server].push_back(entry.uid);
    sessions.push_back({entry.uid, entry.created, std::move(*servers), {}, {}});
  }
  std::vector<Endpoint> servers;
  for (const auto& [server, uids] : asked) servers.push_back(server);
  const auto answers = ask_all<Views>(servers, interrupt, [&](const Endpoint& server, auto done) {
    return at(server).list(asked[server], done);
  });

  SessionList list;
  std::unordered_map<std::string, RequestedSession*> named;
  for (RequestedSession& session : sessions) named[session.uid] = &session;
  for (std::size_t i = 0; i < servers.size(); ++i) {
    const Result<Views>& answer = answers[i];
    if (!answer) {
      const Error& why = answer.error();
      if (why.cause == Cause::cancelled) return why;
      list.silent.emplace_back(servers[i], why);
      for (const std::string& uid : asked[servers[i]]) named[uid]->errors.push_back(why);
      continue;
    }
    for (const session::SessionView& view : *answer) {
      const auto found = named.find(view.key.uid);
      if (found != named.end()) merge(found->second->views, {view});
    }
  }
  for (RequestedSession& session : sessions) {
    if (!session.views.empty() || !session.errors.empty()) {
      list.sessions.push_back(std::move(session));
    } else if (has_ended(session)) {
      book_.forget(session.uid);
      list.forgotten.push_back(session.uid);
    }
  }
  return list;
}

}  // namespace scistream::client

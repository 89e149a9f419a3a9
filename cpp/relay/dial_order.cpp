#include "relay/dial_order.hpp"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace scistream::relay {

namespace {

template <class Tickets>
auto find(Tickets& tickets, std::uint64_t id) {
  return std::find_if(tickets.begin(), tickets.end(),
                      [id](const auto& ticket) { return ticket.id == id; });
}

}  // namespace

void DialOrder::came(const std::string& client, std::uint64_t id, Clock::time_point now) {
  std::vector<Go> all;
  {
    const std::lock_guard lock(mutex_);
    Queue& queue = queues_[client];
    queue.tickets.push_back({id, now, nullptr});
    if (queue.tickets.size() <= most || std::exchange(queue.crowded, true)) return;
    for (Ticket& ticket : queue.tickets)
      if (ticket.go) all.push_back(std::exchange(ticket.go, nullptr));
  }
  for (const Go& go : all) go();
}

bool DialOrder::ready(const std::string& client, std::uint64_t id, Clock::time_point now, Go go) {
  Go next;
  {
    const std::lock_guard lock(mutex_);
    const auto found = queues_.find(client);
    if (found == queues_.end() || found->second.crowded) return true;
    auto& tickets = found->second.tickets;
    if (find(tickets, id) == tickets.end()) return true;
    // Those that are at it for long, such as strangers who say nothing, hold up nobody.
    while (tickets.front().id != id && !tickets.front().go &&
           now - tickets.front().since > patience)
      tickets.pop_front();
    if (tickets.front().id == id) return true;
    find(tickets, id)->go = std::move(go);
    next = std::exchange(tickets.front().go, nullptr);
  }
  if (next) next();
  return false;
}

bool DialOrder::jump(const std::string& client, std::uint64_t id) {
  Go next;
  {
    const std::lock_guard lock(mutex_);
    const auto found = queues_.find(client);
    if (found == queues_.end()) return false;
    auto& tickets = found->second.tickets;
    const auto place = find(tickets, id);
    if (place == tickets.end() || !std::exchange(place->go, nullptr)) return false;
    // Those of them that could be dialled too keep theirs.
    for (auto before = tickets.begin(); before->id != id;)
      before = before->go ? std::next(before) : tickets.erase(before);
    next = std::exchange(tickets.front().go, nullptr);
  }
  if (next) next();
  return true;
}

void DialOrder::over(const std::string& client, std::uint64_t id) {
  Go next;
  {
    const std::lock_guard lock(mutex_);
    const auto found = queues_.find(client);
    if (found == queues_.end()) return;
    auto& tickets = found->second.tickets;
    const auto place = find(tickets, id);
    if (place == tickets.end()) return;
    tickets.erase(place);
    if (tickets.empty()) {
      queues_.erase(found);
      return;
    }
    next = std::exchange(tickets.front().go, nullptr);
  }
  if (next) next();
}

}  // namespace scistream::relay

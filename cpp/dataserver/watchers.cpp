#include "dataserver/watchers.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace scistream::dataserver {

namespace {

/// A shorter period would only load the bookkeeping thread.
constexpr std::chrono::milliseconds shortest_period{10};

/// All but the idle time, which changes by itself.
auto what_counts(const Counters& c) {
  return std::tie(c.bytes_to_consumer, c.bytes_to_producer, c.connections_active,
                  c.connections_total, c.errors);
}

}  // namespace

namespace {

class Subscription final : public Watch {
 public:
  explicit Subscription(std::shared_ptr<Watchers::Subscriber> subscriber)
      : subscriber_(std::move(subscriber)) {}
  ~Subscription() override { subscriber_->cancel(); }

 private:
  std::shared_ptr<Watchers::Subscriber> subscriber_;
};

}  // namespace

std::pair<std::shared_ptr<Watchers::Subscriber>, std::unique_ptr<Watch>> Watchers::make(
    Observer observer) {
  auto subscriber = std::make_shared<Subscriber>(std::move(observer));
  auto watch = std::make_unique<Subscription>(subscriber);
  return {std::move(subscriber), std::move(watch)};
}

void Watchers::add(std::shared_ptr<Subscriber> subscriber, std::chrono::milliseconds period) {
  const auto entry = std::make_shared<Entry>(Entry{std::move(subscriber),
                                                   std::max(period, shortest_period),
                                                   boost::asio::steady_timer(context_),
                                                   {}});
  entries_.push_back(entry);
  wait(entry);
}

void Watchers::send(const Event& event) {
  std::erase_if(entries_, [](const auto& entry) { return !entry->subscriber->active(); });
  for (const auto& entry : entries_) {
    if (event.kind == Event::Kind::gone) entry->sent.erase(event.status.session);
    entry->subscriber->notify(event);
  }
}

void Watchers::wait(const std::shared_ptr<Entry>& entry) {
  entry->timer.expires_after(entry->period);
  entry->timer.async_wait([this, weak = std::weak_ptr(entry)](boost::system::error_code ec) {
    const auto alive = weak.lock();
    if (!ec && alive) tick(alive);
  });
}

void Watchers::tick(const std::shared_ptr<Entry>& entry) {
  if (!entry->subscriber->active()) {
    std::erase(entries_, entry);
    return;
  }
  for (SessionStatus& status : sample_()) {
    Counters& sent = entry->sent[status.session];
    if (what_counts(sent) == what_counts(status.counters)) continue;
    sent = status.counters;
    if (!entry->subscriber->notify({Event::Kind::counters, std::move(status), {}})) break;
  }
  wait(entry);
}

}  // namespace scistream::dataserver

#include "sdk/watching.hpp"

#include <utility>

#include "net/signals_blocked.hpp"
#include "sdk/guarded.hpp"
#include "sdk/values.hpp"

namespace scistream::sdk {

Watching::Watching(std::shared_ptr<client::UserClient> client, std::string uid,
                   std::vector<Endpoint> servers, std::chrono::milliseconds period)
    : client_(std::move(client)) {
  const net::SignalsBlocked blocked;  // signals belong to the program's own threads
  thread_ = std::thread([this, uid = std::move(uid), servers = std::move(servers), period] {
    const auto observe = [this](const session::SessionEvent& event) { events_.push(event); };
    events_.end(guarded(
        [&] { return client_->watch(uid, servers, period, observe, nullptr, &interrupt_); }));
  });
}

Watching::~Watching() {
  interrupt_.trigger();
  thread_.join();
}

Status Watching::tell(const std::function<void(const SessionEvent&)>& observe,
                      const std::stop_token& stop) {
  const std::stop_callback on_stop(stop, [this] { interrupt_.trigger(); });
  for (;;) {
    events_.wait();
    const auto taken = events_.take();
    for (const auto& event : taken.events) {
      if (stop.stop_requested()) return {};
      observe(to_public(event));
    }
    if (!taken.ended) continue;
    const Status& how = *taken.ended;
    const bool as_asked = stop.stop_requested() && !how && how.error().cause == Cause::cancelled;
    return as_asked ? Status() : how;
  }
}

}  // namespace scistream::sdk

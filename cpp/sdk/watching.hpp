#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "client/event_queue.hpp"
#include "client/user_client.hpp"
#include "scistream/user_client.hpp"

namespace scistream::sdk {

/// The events of one session, brought from the client's thread to the one that wants to be told,
/// where a user's code may take its time. Owns the thread that waits for the client.
class Watching {
 public:
  Watching(std::shared_ptr<client::UserClient> client, std::string uid,
           std::vector<Endpoint> servers, std::chrono::milliseconds period);
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;
  /// Ends it, and waits for that.
  ~Watching();

  /// Until there will be no more events, or a stop is requested.
  Status tell(const std::function<void(const SessionEvent&)>& observe, const std::stop_token& stop);

 private:
  const std::shared_ptr<client::UserClient> client_;
  client::Interrupt interrupt_;
  client::EventQueue events_;
  std::thread thread_;
};

}  // namespace scistream::sdk

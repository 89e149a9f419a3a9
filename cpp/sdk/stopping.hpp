#pragma once

#include <functional>
#include <stop_token>
#include <utility>

#include "client/user_client.hpp"

namespace scistream::sdk {

/// A call's Interrupt, which is triggered when the caller requests a stop. Belongs to one call.
class Stopping {
 public:
  explicit Stopping(std::stop_token stop)
      : on_stop_(std::move(stop), [this] { interrupt_.trigger(); }) {}

  [[nodiscard]] client::Interrupt* interrupt() { return &interrupt_; }

 private:
  client::Interrupt interrupt_;
  std::stop_callback<std::function<void()>> on_stop_;  ///< Gone before the other.
};

}  // namespace scistream::sdk

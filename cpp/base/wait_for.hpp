#pragma once

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <utility>

#include "base/error.hpp"

namespace scistream {

/// Starts an asynchronous call and blocks until its callback has come, for `limit` at most.
/// `start` is given the callback. Not to be used on the thread that the callback needs.
template <class T, class Start>
Result<T> wait_for(Start start, std::optional<std::chrono::milliseconds> limit = std::nullopt) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  auto answer = promise->get_future();
  start([promise](Result<T> result) { promise->set_value(std::move(result)); });
  if (limit && answer.wait_for(*limit) != std::future_status::ready) {
    return Error{Cause::timeout, "no answer within " + std::to_string(limit->count()) + " ms"};
  }
  return answer.get();
}

}  // namespace scistream

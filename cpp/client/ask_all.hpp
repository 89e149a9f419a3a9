#pragma once

#include <future>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/endpoint.hpp"
#include "client/interrupt.hpp"
#include "control/control_client.hpp"

namespace scistream::client {

/// Asks every server, or all that is to be asked of them, at once, by `ask(question, done)`, and
/// waits for all answers, in this order; an interrupt cancels what is still open.
template <class T, class Question, class Ask>
std::vector<Result<T>> ask_all(const std::vector<Question>& questions, Interrupt* interrupt,
                               Ask ask) {
  std::mutex mutex;
  bool interrupted = false;
  std::vector<control::ControlClient::Handle> calls;
  if (interrupt != nullptr) {
    interrupt->set([&] {
      const std::lock_guard lock(mutex);
      interrupted = true;
      for (const auto& call : calls) call->cancel();
    });
  }
  std::vector<std::future<Result<T>>> waiting;
  for (const Question& question : questions) {
    auto promise = std::make_shared<std::promise<Result<T>>>();
    waiting.push_back(promise->get_future());
    const std::lock_guard lock(mutex);
    calls.push_back(
        ask(question, [promise](Result<T> result) { promise->set_value(std::move(result)); }));
    if (interrupted) calls.back()->cancel();
  }
  std::vector<Result<T>> answers;
  answers.reserve(waiting.size());
  for (auto& answer : waiting) answers.push_back(answer.get());
  if (interrupt != nullptr) interrupt->clear();
  return answers;
}

}  // namespace scistream::client

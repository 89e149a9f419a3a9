#include "proxy/expectation.hpp"

#include <chrono>
#include <utility>

namespace scistream::proxy {

namespace {

constexpr std::chrono::seconds patience{5};

}  // namespace

Expectation::Expectation(boost::asio::io_context& context)
    : state_(std::make_shared<State>(context)) {}

void Expectation::await(std::string otherwise, dataserver::Callback<void> done) {
  state_->done = std::move(done);
  state_->limit.expires_after(patience);
  state_->limit.async_wait([weak = std::weak_ptr(state_),
                            otherwise = std::move(otherwise)](const boost::system::error_code& ec) {
    const auto state = weak.lock();
    if (ec || !state) return;
    if (const auto answer = std::exchange(state->done, nullptr))
      answer(Error{Cause::timeout, otherwise});
  });
}

void Expectation::fulfil(const Status& status) {
  state_->limit.cancel();
  if (const auto answer = std::exchange(state_->done, nullptr)) answer(status);
}

}  // namespace scistream::proxy

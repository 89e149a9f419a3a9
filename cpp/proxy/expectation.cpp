#include "proxy/expectation.hpp"

#include <utility>

namespace scistream::proxy {

Expectation::Expectation(boost::asio::io_context& context)
    : state_(std::make_shared<State>(context)) {}

void Expectation::await(std::chrono::seconds limit, std::string otherwise,
                        dataserver::Callback<void> done) {
  state_->done = std::move(done);
  state_->limit.expires_after(limit);
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

#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "dataserver/data_server.hpp"

namespace scistream::proxy {

/// Something that a program is to say before long. Everything happens on the thread of the context;
/// once it is destroyed, nothing comes.
class Expectation {
 public:
  explicit Expectation(boost::asio::io_context& context);

  /// `done` comes with what fulfil() is told, or after `limit` with a `timeout` that says
  /// `otherwise`.
  void await(std::chrono::seconds limit, std::string otherwise, dataserver::Callback<void> done);
  /// Without effect if nothing is awaited.
  void fulfil(const Status& status);

 private:
  struct State {
    explicit State(boost::asio::io_context& context) : limit(context) {}
    boost::asio::steady_timer limit;
    dataserver::Callback<void> done;
  };

  const std::shared_ptr<State> state_;
};

}  // namespace scistream::proxy

#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "relay/options.hpp"

namespace scistream::relay {

/// Opens one connection to a target that may not be up yet: resolves its name anew each round,
/// tries every address, pauses and starts over until the deadline. A member of what wants the
/// connection; every handler holds `owner`. All on the thread of the context.
class Dialer {
 public:
  using tcp = boost::asio::ip::tcp;
  /// An empty error and a connected socket with the stream options set, or why the last try failed.
  using Done = std::function<void(const std::string& error, tcp::socket socket)>;
  /// Told once, of the first round in which no address answered.
  using Retrying = std::function<void(const std::string& error)>;

  Dialer(boost::asio::io_context& context, Endpoint target, const Options& options);

  /// Told once, when the first address is being called, or none can be.
  using Dialling = std::function<void()>;

  /// `done` is called once, from a handler, unless stop() comes first.
  void start(std::weak_ptr<void> owner, Dialling dialling, Retrying retrying, Done done);
  /// Gives up without a word.
  void stop();

 private:
  using error_code = boost::system::error_code;

  void resolve();
  void take(std::vector<tcp::endpoint> found);
  void connect();
  void connected(error_code ec);
  void next_address(const std::string& why);
  void pause();
  void finish(const std::string& error);

  const Endpoint target_;
  const Options& options_;
  tcp::resolver resolver_;
  tcp::socket socket_;
  boost::asio::steady_timer deadline_;
  boost::asio::steady_timer timer_;  ///< The pause, or the time one address has.
  std::weak_ptr<void> owner_;
  Dialling dialling_;
  Retrying retrying_;
  Done done_;
  std::vector<tcp::endpoint> addresses_;
  std::size_t address_ = 0;
  std::chrono::milliseconds backoff_;
  std::uint64_t attempt_ = 0;  ///< Tells the timer of this try from one that ended just now.
  bool attempt_expired_ = false;
  std::string last_error_ = "the name was not resolved in time";
};

}  // namespace scistream::relay

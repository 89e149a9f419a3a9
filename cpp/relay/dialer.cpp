#include "relay/dialer.hpp"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "net/tcp.hpp"

namespace scistream::relay {

Dialer::Dialer(boost::asio::io_context& context, Endpoint target, const Options& options)
    : target_(std::move(target)),
      options_(options),
      resolver_(context),
      socket_(context),
      deadline_(context),
      timer_(context),
      backoff_(options.dial_backoff_first) {}

void Dialer::start(std::weak_ptr<void> owner, Dialling dialling, Retrying retrying, Done done) {
  owner_ = std::move(owner);
  dialling_ = std::move(dialling);
  retrying_ = std::move(retrying);
  done_ = std::move(done);
  deadline_.expires_after(options_.dial_deadline);
  deadline_.async_wait([this, keep = owner_.lock()](error_code ec) {
    if (ec || !done_) return;
    finish("gave up after " + std::to_string(options_.dial_deadline.count()) +
           " ms: " + last_error_);
  });
  resolve();
}

void Dialer::stop() {
  done_ = nullptr;
  resolver_.cancel();
  deadline_.cancel();
  timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
}

void Dialer::resolve() {
  net::async_resolve(resolver_, target_,
                     [this, keep = owner_.lock()](error_code ec, std::vector<tcp::endpoint> found) {
                       if (!done_) return;
                       if (!ec) return take(std::move(found));
                       last_error_ = ec.message();
                       pause();
                     });
}

void Dialer::take(std::vector<tcp::endpoint> found) {
  if (const auto& allowed = options_.destinations) {
    // A name that leads elsewhere today must not wait for it to lead there tomorrow.
    const std::size_t all = found.size();
    std::erase_if(found, [&](const tcp::endpoint& each) {
      return !allowed->permit(each.address(), each.port());
    });
    if (all > 0 && found.empty())
      return finish("this facility does not allow connections there (--allow-target)");
  }
  addresses_ = std::move(found);
  address_ = 0;
  connect();
}

void Dialer::connect() {
  if (address_ == addresses_.size()) {
    pause();
    return;
  }
  error_code ec;
  socket_.close(ec);
  socket_.open(addresses_[address_].protocol(), ec);
  if (ec) {
    next_address(ec.message());
    return;
  }
  ::fcntl(socket_.native_handle(), F_SETFD, FD_CLOEXEC);  // which Asio leaves out
  net::set_stream_options(socket_.native_handle());
  net::leave_unpaced_on_loopback(socket_.native_handle(), addresses_[address_]);
  // Urgent data stays where it was in the stream, as on the accepted side.
  socket_.set_option(tcp::socket::out_of_band_inline(true), ec);
  net::set_reset_on_close(socket_.native_handle(), true);
  attempt_expired_ = false;
  timer_.expires_after(options_.dial_attempt);
  timer_.async_wait([this, keep = owner_.lock(), attempt = ++attempt_](error_code waited) {
    if (waited || !done_ || attempt != attempt_) return;
    attempt_expired_ = true;
    error_code ignored;
    socket_.cancel(ignored);
  });
  socket_.async_connect(addresses_[address_], [this, keep = owner_.lock()](error_code connect_ec) {
    if (done_) connected(connect_ec);
  });
  if (const auto dialling = std::exchange(dialling_, nullptr)) dialling();
}

void Dialer::connected(error_code ec) {
  ++attempt_;
  timer_.cancel();
  if (ec == boost::asio::error::connection_reset) {
    // Nobody listening is "refused": this target took the connection and then reset it.
    finish(ec.message());
    return;
  }
  if (ec) {
    next_address(attempt_expired_ ? "no answer" : ec.message());
    return;
  }
  error_code local_ec;
  error_code remote_ec;
  const tcp::endpoint local = socket_.local_endpoint(local_ec);
  if (!local_ec && local.port() == addresses_[address_].port() &&
      local == socket_.remote_endpoint(remote_ec) && !remote_ec) {
    // Dialling a free local port again and again can meet itself (simultaneous open).
    next_address("Connection refused");
    return;
  }
  finish({});
}

void Dialer::next_address(const std::string& why) {
  last_error_ = why;
  ++address_;
  connect();
}

void Dialer::pause() {
  error_code ignored;
  socket_.close(ignored);
  if (const auto dialling = std::exchange(dialling_, nullptr)) dialling();
  if (const auto retrying = std::exchange(retrying_, nullptr)) retrying(last_error_);
  timer_.expires_after(backoff_);
  backoff_ = std::min(backoff_ * 2, options_.dial_backoff_last);
  timer_.async_wait([this, keep = owner_.lock()](error_code ec) {
    if (!ec && done_) resolve();
  });
}

void Dialer::finish(const std::string& error) {
  const Done done = std::exchange(done_, nullptr);
  tcp::socket socket = std::move(socket_);
  stop();
  done(error, std::move(socket));
}

}  // namespace scistream::relay

#include "relay/connection.hpp"

#include <sys/socket.h>

#include <cassert>
#include <utility>

#include "net/tcp.hpp"

namespace scistream::relay {

using boost::system::error_code;

namespace {

/// The family of an accepted socket, which Asio wants to be told.
boost::asio::ip::tcp protocol_of(int socket) {
  const auto local = net::bound_address(socket);
  return local.ok() ? local.value().protocol() : boost::asio::ip::tcp::v4();
}

}  // namespace

Connection::Connection(boost::asio::io_context& context, net::Fd client, Endpoint target,
                       const Options& options, std::shared_ptr<ConnectionRecord> record,
                       Counters& relay, Logger log, std::function<void(ConnectionEnd)> ended)
    : context_(context),
      accepted_(std::move(client)),
      record_(std::move(record)),
      log_(std::move(log)),
      ended_(std::move(ended)),
      client_(context),
      target_(context),
      dialer_(context, std::move(target), options),
      to_target_(client_, target_, Direction::to_target,
                 boost::asio::use_service<PipePool>(context), options, record_->traffic,
                 relay.traffic),
      to_client_(target_, client_, Direction::to_client,
                 boost::asio::use_service<PipePool>(context), options, record_->traffic,
                 relay.traffic) {}

void Connection::start() {
  assert(context_.get_executor().running_in_this_thread());
  if (!ended_) return;
  error_code ec;
  client_.assign(protocol_of(accepted_.get()), accepted_.get(), ec);
  if (ec) {
    log_->error("connection {} from {}: {}", record_->id, record_->peer, ec.message());
    end(ConnectionEnd::reset);
    return;
  }
  (void)accepted_.release();
  watch_for_reset(client_);
  dialer_.start(
      weak_from_this(),
      [this](const std::string& error) {
        log_->warn("connection {} from {}: target {} is not there yet: {}; trying again",
                   record_->id, record_->peer, record_->target, error);
      },
      [this](const std::string& error, tcp::socket target) { dialled(error, std::move(target)); });
}

void Connection::dialled(const std::string& error, tcp::socket target) {
  if (!error.empty()) {
    log_->error("connection {} from {}: cannot reach target {}: {}", record_->id, record_->peer,
                record_->target, error);
    end(ConnectionEnd::reset);
    return;
  }
  target_ = std::move(target);
  record_->dialled.store(true, std::memory_order_relaxed);
  watch_for_reset(target_);
  to_target_.start(weak_from_this(), [this](PumpEnd how) { pumped(target_, how); });
  to_client_.start(weak_from_this(), [this](PumpEnd how) { pumped(client_, how); });
}

void Connection::pumped(tcp::socket& destination, PumpEnd how) {
  if (how != PumpEnd::finished) {
    log_->debug("connection {}: {} failed", record_->id,
                how == PumpEnd::source_failed ? "reading" : "writing");
    end(ConnectionEnd::reset);
    return;
  }
  error_code ec;
  destination.shutdown(tcp::socket::shutdown_send, ec);
  if (ec) {
    end(ConnectionEnd::reset);
  } else if (++finished_pumps_ == 2) {
    end(ConnectionEnd::clean);
  }
}

/// A pump that waits for its destination does not look at its source, and none looks at the client
/// while the target is dialled: this notices a reset at any time.
void Connection::watch_for_reset(tcp::socket& socket) {
  const auto woken = [this, keep = shared_from_this(), &socket](error_code ec) {
    if (ec || !ended_) return;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size);
    // Without an error it is TCP urgent data, or FIN both ways. The second is no failure, and
    // waiting again for the first would end at once: the pumps see whatever comes later.
    if (error != 0) end(ConnectionEnd::reset);
  };
  socket.async_wait(tcp::socket::wait_error, woken);
}

void Connection::end(ConnectionEnd how) {
  if (!ended_) return;
  const auto ended = std::exchange(ended_, nullptr);
  dialer_.stop();
  to_target_.stop();
  to_client_.stop();
  error_code ignored;
  for (tcp::socket* socket : {&client_, &target_}) {
    if (!socket->is_open()) continue;
    if (how == ConnectionEnd::clean) net::set_reset_on_close(socket->native_handle(), false);
    socket->close(ignored);
  }
  accepted_.reset();
  ended(how);
}

}  // namespace scistream::relay

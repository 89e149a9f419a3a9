#include "net/acceptor.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

namespace scistream::net {

using boost::system::error_code;

namespace {

/// Connections taken before others of the thread get their turn.
constexpr int accepts_per_turn = 16;
constexpr std::chrono::milliseconds first_backoff{10};
constexpr std::chrono::milliseconds last_backoff{1'000};

}  // namespace

Acceptor::Acceptor(boost::asio::io_context& context, Fd socket, std::size_t index, std::string name,
                   const Accepted& accepted, Logger log)
    : context_(context),
      socket_(std::move(socket)),
      index_(index),
      name_(std::move(name)),
      accepted_(accepted),
      log_(std::move(log)) {}

int Acceptor::socket() { return accepting_ ? accepting_->native_handle() : socket_.get(); }

void Acceptor::start(std::weak_ptr<void> owner) {
  assert(context_.get_executor().running_in_this_thread());
  if (!socket_ || accepting_) return;
  owner_ = std::move(owner);
  error_code ec;
  accepting_.emplace(context_);
  accepting_->assign(socket_.get(), ec);
  if (ec) {
    log_->error("cannot accept on {}: {}", name_, ec.message());
    accepting_.reset();
    return;
  }
  (void)socket_.release();
  wait();
}

void Acceptor::keep_spare() {
  keeps_spare_ = true;
  if (!spare_) spare_ = Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

void Acceptor::close() {
  assert(context_.get_executor().running_in_this_thread());
  error_code ignored;
  if (accepting_) accepting_->close(ignored);
  if (timer_) timer_->cancel();
  socket_.reset();
}

void Acceptor::wait() {
  accepting_->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [this, keep = owner_.lock()](error_code ec) {
                           if (!ec && accepting_->is_open()) accept();
                         });
}

void Acceptor::accept() {
  for (int i = 0; i < accepts_per_turn; ++i) {
    tcp::endpoint peer;
    auto size = static_cast<socklen_t>(peer.capacity());
    Fd client(
        ::accept4(accepting_->native_handle(), peer.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (client) {
      if (backoff_.count() != 0) log_->info("accepting on {} again", name_);
      backoff_ = {};
      // The kernel says how long an address of another family would have been.
      if (size <= peer.capacity()) peer.resize(size);
      accepted_(index_, std::move(client), peer);
      if (keeps_spare_) keep_spare();
      continue;
    }
    switch (errno) {
      case EAGAIN: wait(); return;
      // Errors of a connection that died in the backlog (accept(2)), not of the listener.
      case EINTR:
      case ECONNABORTED:
      case EPROTO:
      case ENETDOWN:
      case ENOPROTOOPT:
      case EHOSTDOWN:
      case ENONET:
      case EHOSTUNREACH:
      case ENETUNREACH:
      case EPERM: continue;
      case EMFILE:
      case ENFILE:
        if (spare_) {
          spare_.reset();
          continue;
        }
        [[fallthrough]];
      default: back_off(errno); return;
    }
  }
  wait();
}

void Acceptor::back_off(int errnum) {
  if (backoff_.count() == 0) {
    log_->error("cannot accept on {}, trying again: {}", name_, std::strerror(errnum));
  }
  backoff_ = std::clamp(backoff_ * 2, first_backoff, last_backoff);
  if (!timer_) timer_.emplace(context_);
  timer_->expires_after(backoff_);
  timer_->async_wait([this, keep = owner_.lock()](error_code ec) {
    if (!ec && accepting_->is_open()) accept();
  });
}

}  // namespace scistream::net

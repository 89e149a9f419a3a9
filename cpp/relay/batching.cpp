#include "relay/batching.hpp"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

namespace scistream::relay {

namespace {

void set_low_water(int socket, std::size_t bytes) noexcept {
  const int value = static_cast<int>(bytes);
  ::setsockopt(socket, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof value);
}

}  // namespace

boost::asio::execution_context::id BatchClock::id;

BatchClock::BatchClock(boost::asio::execution_context& context)
    : service(context), timer_(static_cast<boost::asio::io_context&>(context)) {}

void BatchClock::add(Batching& waiting) {
  waiting.place_ = waiting_.size();
  waiting.ticks_ = 0;
  waiting_.push_back(&waiting);
  if (!running_) start();
}

void BatchClock::remove(Batching& waiting) noexcept {
  waiting_.back()->place_ = waiting.place_;
  waiting_[waiting.place_] = waiting_.back();
  waiting_.pop_back();
}

void BatchClock::start() {
  running_ = true;
  timer_.expires_after(period);
  timer_.async_wait([this](boost::system::error_code ec) {
    running_ = false;
    if (!ec) tick();
  });
}

void BatchClock::tick() {
  for (std::size_t i = 0; i < waiting_.size();) {
    Batching& waiting = *waiting_[i];
    if (++waiting.ticks_ < 2) {
      ++i;
    } else {
      waiting.give_way();  // and is not among them any more
    }
  }
  if (!waiting_.empty()) start();
}

Batching::Batching(boost::asio::io_context& context, std::size_t level) noexcept
    : clock_(boost::asio::use_service<BatchClock>(context)), level_(level) {}

void Batching::begin_wait(int socket) {
  socket_ = socket;
  if (!raised_) lean_ = woken_ < level_;
  woken_ = 0;
  in_a_row_ = raised_ ? in_a_row_ + 1 : 0;
  const bool worth_it =
      lean_ && in_a_row_ < most_in_a_row && streak_ >= trust_ && clock_.waiting() < most_waiting;
  if (worth_it != raised_) {
    raised_ = worth_it;
    set_low_water(socket_, raised_ ? level_ : 1);
  }
  if (!raised_) return;
  waits_ = true;
  clock_.add(*this);
}

void Batching::end_wait() noexcept {
  if (!waits_) return;
  waits_ = false;
  clock_.remove(*this);
}

void Batching::make_room(int socket, std::size_t bytes) noexcept {
  if (raised_ || bytes <= room_) return;
  room_ = bytes;
  // A low-water mark makes the buffer large enough for itself, and it stays so.
  set_low_water(socket, bytes);
  set_low_water(socket, 1);
}

void Batching::leave() noexcept {
  stop();
  if (std::exchange(raised_, false)) set_low_water(socket_, 1);
}

void Batching::give_way() noexcept {
  end_wait();
  int available = 0;
  ::ioctl(socket_, FIONREAD, &available);
  // Bytes that had to wait are a reason not to try again soon; an idle source is none.
  if (available > 0) trust_ = std::min(trust_ * 4, last_trust);
  streak_ = 0;
  raised_ = false;
  set_low_water(socket_, 1);  // wakes the pump if there is anything
}

}  // namespace scistream::relay

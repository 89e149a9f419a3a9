#include "relay/pump.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

namespace scistream::relay {

using boost::system::error_code;

namespace {

/// A read shorter than this found the socket's last bytes: waiting costs less than asking again.
constexpr std::size_t worth_another_read = 64U << 10U;
/// Sooner than this a timer is not worth setting.
constexpr std::chrono::microseconds at_once{20};

}  // namespace

void watch_for_reset(boost::asio::ip::tcp::socket& socket, std::shared_ptr<void> owner,
                     std::function<void()> broken) {
  const auto woken = [&socket, keep = std::move(owner), broken = std::move(broken)](error_code ec) {
    if (ec || !socket.is_open()) return;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size);
    // Without an error it is TCP urgent data, or FIN both ways. The second is no failure, and
    // waiting again for the first would end at once: the pumps see whatever comes later.
    if (error != 0) broken();
  };
  socket.async_wait(boost::asio::ip::tcp::socket::wait_error, woken);
}

Pump::Pump(boost::asio::io_context& context, Socket& source, Socket& destination,
           Direction direction, std::unique_ptr<Transit> transit, const Options& options,
           Shaper& shaper, Traffic& connection, Traffic& relay)
    : source_(source),
      destination_(destination),
      direction_(direction),
      turn_bytes_(options.turn_bytes),
      shaper_(shaper),
      connection_(connection),
      relay_(relay),
      transit_(std::move(transit)),
      batching_(context, transit_->batch()) {}

void Pump::start(std::weak_ptr<void> owner, std::function<void(PumpEnd)> done,
                 std::function<void()> broken) {
  owner_ = std::move(owner);
  done_ = std::move(done);
  broken_ = std::move(broken);
  running_ = true;
  wait_source();
}

void Pump::resume(std::weak_ptr<void> owner, std::function<void(PumpEnd)> done,
                  std::function<void()> broken, const PumpState& state) {
  owner_ = std::move(owner);
  broken_ = std::move(broken);
  if (state.ended) return watch_source();
  done_ = std::move(done);
  running_ = true;
  finishing_ = state.finishing;
  transit_->restore(state.transit);
  // It may end the connection, which is not whole yet.
  boost::asio::post(source_.get_executor(), [this, keep = owner_.lock()] {
    if (running_) turn(false);
  });
}

PumpState Pump::save() {
  PumpState state;
  state.ended = !running_;
  state.finishing = finishing_;
  running_ = false;
  done_ = nullptr;
  broken_ = nullptr;
  batching_.leave();
  if (turn_timer_) turn_timer_->cancel();
  if (!state.ended) state.transit = transit_->save();
  return state;
}

void Pump::stop() noexcept {
  running_ = false;
  batching_.stop();
  if (turn_timer_) turn_timer_->cancel();
  transit_->discard();
}

void Pump::wait_source() {
  batching_.begin_wait(source_.native_handle());
  source_.async_wait(Socket::wait_read, [this, keep = owner_.lock()](error_code ec) {
    if (ec || !running_) return;
    batching_.end_wait();
    turn(true);
  });
}

void Pump::wait_destination() {
  watch_source();
  destination_.async_wait(Socket::wait_write, [this, keep = owner_.lock()](error_code ec) {
    if (!ec && running_) turn(false);
  });
}

void Pump::watch_source() {
  if (std::exchange(watching_, true)) return;
  watch_for_reset(source_, owner_.lock(), [this] {
    if (broken_) broken_();
  });
}

void Pump::turn(bool source_ready) {
  std::size_t moved = 0;
  std::optional<PumpEnd> how;
  try {
    how = forward(source_ready, moved);
  } catch (const std::exception&) {  // a cipher that fails, no memory
    how = PumpEnd::source_failed;
  }
  count();
  if (how) {
    stop();
    std::exchange(done_, nullptr)(*how);
    // The other direction goes on, and nobody reads here any more.
    if (how == PumpEnd::finished && source_.is_open()) watch_source();
  }
}

void Pump::count() {
  const std::size_t delivered = std::exchange(delivered_, 0);
  if (delivered == 0) return;
  connection_.add(direction_, delivered);
  relay_.add(direction_, delivered);
}

/// Moves bytes until it has to wait, and then waits, or until the direction has ended.
std::optional<PumpEnd> Pump::forward(bool source_ready, std::size_t& moved) {
  const int source = source_.native_handle();
  bool source_empty = false;
  std::size_t taken_in_turn = 0;  // more than is moved, where what comes is not content
  for (;;) {
    switch (drain(moved)) {
      case Drained::all: break;
      case Drained::failed: return PumpEnd::destination_failed;
      case Drained::blocked: wait_destination(); return std::nullopt;
      case Drained::early: wait_turn(); return std::nullopt;
    }
    if (finishing_) return PumpEnd::finished;
    if (moved >= turn_bytes_ || taken_in_turn >= turn_bytes_) {
      // The others of this thread first. Through the queue, so the reactor is asked in between.
      boost::asio::post(source_.get_executor(), [this, keep = owner_.lock()] {
        if (running_) turn(false);
      });
      return std::nullopt;
    }
    if (source_empty) break;
    const std::size_t room = shaper_.limits() ? shaper_.piece() : SIZE_MAX;
    if (room != SIZE_MAX) batching_.make_room(source, room);
    ssize_t taken = transit_->fill(source, room);
    if (taken < 0 && errno == EAGAIN && source_ready) {
      // Readable, yet nothing to splice: TCP urgent data is next. Without this the wait would end
      // at once, again and again.
      taken = transit_->fill_again(source, room);
    }
    if (taken == 0) {
      count();  // whoever sees the end finds everything counted
      transit_->finish();
      finishing_ = true;
      continue;
    }
    if (taken < 0 && errno == EINTR) continue;
    if (taken < 0 && errno != EAGAIN) return PumpEnd::source_failed;
    source_ready = false;
    if (taken > 0) {
      taken_in_turn += static_cast<std::size_t>(taken);
      batching_.came(static_cast<std::size_t>(taken));
    }
    const auto whole = std::min(worth_another_read, room);
    source_empty = taken < static_cast<ssize_t>(whole) && !transit_->has_more();
  }
  transit_->rest();
  wait_source();
  return std::nullopt;
}

Pump::Drained Pump::drain(std::size_t& moved) {
  const int destination = destination_.native_handle();
  while (!transit_->empty()) {
    if (booked_ == 0 && !may_go()) return Drained::early;
    const ssize_t given = transit_->drain(destination, booked_);
    if (given > 0) {
      moved += static_cast<std::size_t>(given);
      const std::size_t delivered = transit_->take_delivered();
      delivered_ += delivered;
      booked_ -= std::min(booked_, delivered);
    } else if (given < 0 && errno == EAGAIN) {
      return Drained::blocked;
    } else if (given == 0 || errno != EINTR) {
      return Drained::failed;
    }
  }
  return Drained::all;
}

bool Pump::may_go() {
  booked_ = transit_->payload();
  if (booked_ == 0 || !shaper_.limits()) return true;
  if (transit_->divisible()) booked_ = std::min(booked_, shaper_.piece());
  const auto now = Shaper::clock::now();
  changes_ = shaper_.changes();
  turn_ = shaper_.book(booked_, now);
  return turn_ <= now + at_once;
}

void Pump::wait_turn() {
  watch_source();
  if (!turn_timer_) turn_timer_.emplace(source_.get_executor());
  shaper_.begin_wait();
  turn_timer_->expires_at(std::min(turn_, Shaper::clock::now() + look_again));
  turn_timer_->async_wait([this, keep = owner_.lock()](error_code) {
    shaper_.end_wait();
    if (!running_) return;
    if (changes_ != shaper_.changes()) {
      booked_ = 0;  // the rate has changed since
    } else if (turn_ > Shaper::clock::now() + at_once) {
      return wait_turn();
    }
    turn(false);
  });
}

}  // namespace scistream::relay

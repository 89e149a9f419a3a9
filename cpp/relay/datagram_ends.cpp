#include "relay/datagram_ends.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "net/tcp.hpp"
#include "relay/datagram_frames.hpp"

namespace scistream::relay {

using boost::system::error_code;
using descriptor = boost::asio::posix::stream_descriptor;

namespace {

constexpr std::size_t most_waiting = 256U << 10U;
constexpr std::size_t stream_buffer = 256U << 10U;
static_assert(stream_buffer >= most_frame);

/// What may wait where a rate is kept: whoever sends faster loses datagrams rather than getting
/// them late, as on a link of that rate.
std::size_t room_of(const std::shared_ptr<Shaper>& shaper) noexcept {
  return std::min(shaper ? shaper->room() : SIZE_MAX, net::most_room);
}

}  // namespace

boost::asio::execution_context::id DatagramMemory::id;

DatagramSource::DatagramSource(boost::asio::io_context& context, std::shared_ptr<Shaper> shaper)
    : socket_(context),
      turn_(context),
      reader_(boost::asio::use_service<DatagramMemory>(context).reader),
      shaper_(std::move(shaper)) {}

void DatagramSource::start(net::Fd socket, std::weak_ptr<void> owner, Arrived arrived) {
  owner_ = std::move(owner);
  arrived_ = std::move(arrived);
  error_code ec;
  socket_.assign(socket.get(), ec);
  if (ec) return;
  (void)socket.release();
  wait();
}

void DatagramSource::close() noexcept {
  error_code ignored;
  turn_.cancel();
  socket_.close(ignored);
}

void DatagramSource::wait() {
  socket_.async_wait(descriptor::wait_read, [this, keep = owner_.lock()](error_code ec) {
    if (!ec && socket_.is_open()) read();
  });
}

void DatagramSource::read() {
  const bool limited = shaper_ != nullptr && shaper_->limits();
  const std::size_t room = room_of(shaper_);
  if (room != room_) net::keep_received(socket_.native_handle(), room_ = room);
  // How much will come is not known before: few at a time where little may go at once.
  const std::size_t wanted =
      limited ? shaper_->piece() / net::most_datagram : net::DatagramReader::most;
  const bool joined = wanted > 0;
  if (joined != joined_) net::join_datagrams(socket_.native_handle(), joined_ = joined);
  const auto datagrams = reader_.receive(socket_.native_handle(), wanted);
  if (datagrams.empty()) return wait();
  const std::size_t bytes = arrived_(datagrams);
  if (!socket_.is_open()) return;
  if (!limited) return wait();
  wait_turn(shaper_->book(bytes, Shaper::clock::now()), shaper_->changes());
}

/// Reads on at `turn`, or once the rate has changed since it was booked.
void DatagramSource::wait_turn(Shaper::clock::time_point turn, unsigned changes) {
  const auto now = Shaper::clock::now();
  if (turn <= now || changes != shaper_->changes()) return wait();
  turn_.expires_at(std::min(turn, now + look_again));
  turn_.async_wait([this, turn, changes, keep = owner_.lock()](error_code ec) {
    if (!ec && socket_.is_open()) wait_turn(turn, changes);
  });
}

UdpEnd::UdpEnd(boost::asio::io_context& context, Endpoint target, std::shared_ptr<Shaper> shaper,
               std::shared_ptr<const net::SharedDestinations> allowed)
    : target_(std::move(target)),
      allowed_(std::move(allowed)),
      resolver_(context),
      source_(context, std::move(shaper)) {}

void UdpEnd::start(std::weak_ptr<void> owner, Arrived arrived, std::function<void()> ended) {
  owner_ = std::move(owner);
  arrived_ = std::move(arrived);
  ended_ = std::move(ended);
  error_code ec;
  const auto address = boost::asio::ip::make_address(target_.host, ec);
  if (!ec) return connect(address);
  net::async_resolve(resolver_, target_,
                     [this, keep = owner_.lock()](
                         error_code failed, const std::vector<boost::asio::ip::tcp::endpoint>& to) {
                       if (closed_) return;
                       if (!failed && !to.empty()) return connect(to.front().address());
                       if (const auto tell = std::exchange(ended_, nullptr)) tell();
                     });
}

void UdpEnd::connect(const boost::asio::ip::address& address) {
  const bool is_allowed = !allowed_ || allowed_->permit(address, target_.port);
  auto socket = is_allowed ? net::connect_udp({address, target_.port})
                           : Error{Cause::permission_denied, "the target is not allowed"};
  if (!socket) {
    if (const auto tell = std::exchange(ended_, nullptr)) tell();
    return;
  }
  source_.start(std::move(*socket), owner_, arrived_);
  for (const auto& bytes : std::exchange(waiting_, {})) {
    const std::array<net::Datagrams, 1> one{{{bytes.data(), bytes.size(), bytes.size(), {}}}};
    (void)net::send_datagrams(source_.socket(), one);
  }
}

std::size_t UdpEnd::send(std::span<const net::Datagrams> datagrams) {
  if (closed_) return 0;
  if (source_.is_open()) return net::send_datagrams(source_.socket(), datagrams);
  std::size_t taken = 0;
  for (const net::Datagrams& joined : datagrams) {
    net::for_each_datagram(joined, [&](std::span<const std::uint8_t> bytes) {
      constexpr std::size_t overhead = 64;
      if (waiting_bytes_ + bytes.size() + overhead > most_waiting) return false;
      waiting_.emplace_back(bytes.begin(), bytes.end());
      waiting_bytes_ += bytes.size() + overhead;
      taken += bytes.size();
      return true;
    });
  }
  return taken;
}

void UdpEnd::close() noexcept {
  closed_ = true;
  ended_ = nullptr;
  resolver_.cancel();
  source_.close();
}

StreamEnd::StreamEnd(boost::asio::io_context& context, net::Fd stream,
                     std::shared_ptr<Shaper> shaper)
    : stream_(context), shaper_(std::move(shaper)) {
  error_code ec;
  stream_.assign(stream.get(), ec);
  if (!ec) (void)stream.release();
}

std::optional<std::pair<net::Fd, net::Fd>> StreamEnd::pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return std::nullopt;
  return std::pair{net::Fd(ends[0]), net::Fd(ends[1])};
}

void StreamEnd::start(std::weak_ptr<void> owner, Arrived arrived, std::function<void()> ended) {
  owner_ = std::move(owner);
  arrived_ = std::move(arrived);
  ended_ = std::move(ended);
  buffer_.reset(new std::uint8_t[stream_buffer]);
  wait_readable();
}

void StreamEnd::close() noexcept {
  ended_ = nullptr;
  error_code ignored;
  stream_.close(ignored);
}

void StreamEnd::end() {
  error_code ignored;
  stream_.close(ignored);
  if (const auto tell = std::exchange(ended_, nullptr)) tell();
}

void StreamEnd::wait_readable() {
  stream_.async_wait(descriptor::wait_read, [this, keep = owner_.lock()](error_code ec) {
    if (!ec && stream_.is_open()) read();
  });
}

void StreamEnd::read() {
  const ssize_t got =
      ::recv(stream_.native_handle(), buffer_.get() + have_, stream_buffer - have_, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return wait_readable();
  if (got <= 0) return end();
  have_ += static_cast<std::size_t>(got);
  found_.clear();
  const Frames frames = read_frames({buffer_.get(), have_}, found_);
  if (!found_.empty()) arrived_(found_);
  if (!stream_.is_open()) return;
  if (!frames.good) return end();
  have_ -= frames.consumed;
  std::memmove(buffer_.get(), buffer_.get() + frames.consumed, have_);
  wait_readable();
}

std::size_t StreamEnd::send(std::span<const net::Datagrams> datagrams) {
  if (!stream_.is_open()) return 0;
  constexpr std::size_t most = IOV_MAX / 2;
  std::array<std::array<std::uint8_t, frame_header>, most> headers;
  std::array<iovec, 2 * most> pieces;
  std::size_t count = 0;
  std::size_t taken = 0;
  const auto hand_over = [&] { send_pieces({pieces.data(), 2 * std::exchange(count, 0)}); };
  std::size_t waiting = unsent_.size() - sent_;
  const std::size_t room = room_of(shaper_);
  if (room != room_) net::keep_unsent(stream_.native_handle(), room_ = room);
  for (const net::Datagrams& joined : datagrams) {
    net::for_each_datagram(joined, [&](std::span<const std::uint8_t> bytes) {
      // Whole frames or nothing; one always fits.
      if (waiting > 0 && waiting + frame_header + bytes.size() > room) return false;
      waiting += frame_header + bytes.size();
      headers[count] = {static_cast<std::uint8_t>(bytes.size() >> 8U),
                        static_cast<std::uint8_t>(bytes.size() & 0xffU)};
      pieces[2 * count] = {headers[count].data(), frame_header};
      pieces[2 * count + 1] = {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
      taken += bytes.size();
      if (++count == most) hand_over();
      return true;
    });
  }
  if (count > 0) hand_over();
  return taken;
}

/// What the stream does not take waits.
void StreamEnd::send_pieces(std::span<iovec> pieces) {
  std::size_t left = 0;
  if (unsent_.empty()) {
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    const ssize_t sent = ::sendmsg(stream_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    left = static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
  }
  const bool waits = !unsent_.empty();
  for (const iovec& piece : pieces) {
    const std::size_t gone = std::min(left, piece.iov_len);
    const auto* bytes = static_cast<const std::uint8_t*>(piece.iov_base);
    unsent_.insert(unsent_.end(), bytes + gone, bytes + piece.iov_len);
    left -= gone;
  }
  if (!waits && !unsent_.empty()) wait_writable();
}

void StreamEnd::wait_writable() {
  stream_.async_wait(descriptor::wait_write, [this, keep = owner_.lock()](error_code ec) {
    if (!ec && stream_.is_open()) flush();
  });
}

void StreamEnd::flush() {
  const ssize_t sent = ::send(stream_.native_handle(), unsent_.data() + sent_,
                              unsent_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) return end();
  sent_ += static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
  if (sent_ < unsent_.size()) return wait_writable();
  std::vector<std::uint8_t>().swap(unsent_);
  sent_ = 0;
}

}  // namespace scistream::relay

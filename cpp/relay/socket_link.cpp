#include "relay/socket_link.hpp"

#include <sys/socket.h>

#include <utility>

#include "net/tcp.hpp"
#include "relay/pipe_transit.hpp"

namespace scistream::relay {

using boost::system::error_code;

boost::asio::ip::tcp protocol_of(int socket) {
  const auto local = net::bound_address(socket);
  return local.ok() ? local.value().protocol() : boost::asio::ip::tcp::v4();
}

SocketLink::SocketLink(const LinkSetup& setup, Side far_side)
    : setup_(setup), far_side_(far_side), far_(setup.context) {}

void SocketLink::accept(net::Fd socket, std::weak_ptr<void> owner, Events events) {
  owner_ = std::move(owner);
  events_ = std::move(events);
  error_code ec;
  far_.assign(protocol_of(socket.get()), socket.get(), ec);
  if (ec) return opened(ec.message());
  (void)socket.release();
  watch_for_reset();
  secure();
}

void SocketLink::dial(const Endpoint& target, std::weak_ptr<void> owner, Events events) {
  owner_ = std::move(owner);
  events_ = std::move(events);
  target_ = target;
  dial_again();
}

void SocketLink::dial_again() {
  error_code ignored;
  far_.close(ignored);
  if (dialer_) {
    dialer_->stop();
    old_dialers_.push_back(std::move(dialer_));
  }
  dialer_ = std::make_unique<Dialer>(setup_.context, target_, setup_.options);
  dialer_->start(
      owner_,
      [this] {
        if (const auto dialling = std::exchange(events_.dialling, nullptr)) dialling();
      },
      [this](const std::string& error) {
        if (const auto retrying = std::exchange(events_.retrying, nullptr)) retrying(error);
      },
      [this](const std::string& error, tcp::socket socket) {
        if (!error.empty()) return opened(error);
        far_ = std::move(socket);
        secure();
      });
}

void SocketLink::watch_for_reset() {
  relay::watch_for_reset(far_, owner(), [this] {
    if (!closed_) broken();
  });
}

void SocketLink::opened(const std::string& error) {
  if (closed_) return;
  if (const auto opened = std::exchange(events_.opened, nullptr)) opened(error);
}

void SocketLink::make_pumps(tcp::socket& near) {
  const Direction outwards = towards(far_side_);
  const Direction inwards = opposite(outwards);
  out_.emplace(setup_.context, near, far_, outwards, outbound(), setup_.options,
               setup_.shaping.of(outwards), setup_.connection, setup_.relay);
  in_.emplace(setup_.context, far_, near, inwards, inbound(), setup_.options,
              setup_.shaping.of(inwards), setup_.connection, setup_.relay);
}

void SocketLink::carry(tcp::socket& near) {
  make_pumps(near);
  const Direction outwards = towards(far_side_);
  const auto broken = [this] { events_.broken(); };
  out_->start(owner_, end_of(outwards), broken);
  in_->start(owner_, end_of(opposite(outwards)), broken);
}

std::function<void(PumpEnd)> SocketLink::end_of(Direction direction) {
  return [this, direction](PumpEnd how) { ended(direction, how); };
}

std::optional<LinkState> SocketLink::save() {
  if (closed_ || !out_ || !in_) return std::nullopt;
  LinkState state;
  state.out = out_->save();
  state.in = in_->save();
  closed_ = true;
  error_code ec;
  state.socket = net::Fd(far_.release(ec));
  return state;
}

void SocketLink::resume(LinkState state, tcp::socket& near, std::weak_ptr<void> owner,
                        Events events) {
  owner_ = std::move(owner);
  events_ = std::move(events);
  far_.assign(protocol_of(state.socket.get()), state.socket.get());
  (void)state.socket.release();
  make_pumps(near);
  const Direction outwards = towards(far_side_);
  const auto broken = [this] { events_.broken(); };
  out_->resume(owner_, end_of(outwards), broken, state.out);
  in_->resume(owner_, end_of(opposite(outwards)), broken, state.in);
}

void SocketLink::ended(Direction direction, PumpEnd how) {
  if (direction == towards(far_side_) && how == PumpEnd::finished) {
    error_code ec;
    far_.shutdown(tcp::socket::shutdown_send, ec);
    if (ec) how = PumpEnd::destination_failed;
  }
  if (how != PumpEnd::finished) failing(how);
  events_.ended(direction, how);
}

void SocketLink::close(bool clean) noexcept {
  if (std::exchange(closed_, true)) return;
  if (dialer_) dialer_->stop();
  if (out_) out_->stop();
  if (in_) in_->stop();
  if (!far_.is_open()) return;
  if (clean) net::set_reset_on_close(far_.native_handle(), false);
  error_code ignored;
  far_.close(ignored);
}

std::unique_ptr<Transit> SocketLink::outbound() {
  return std::make_unique<PipeTransit>(boost::asio::use_service<PipePool>(setup_.context),
                                       setup_.options.pipe_bytes);
}

std::unique_ptr<Transit> SocketLink::inbound() { return SocketLink::outbound(); }

namespace {

class TcpTransport final : public Transport {
 public:
  explicit TcpTransport(Side far_side) : far_side_(far_side) {}
  [[nodiscard]] std::string_view name() const noexcept override { return "tcp"; }
  [[nodiscard]] Side far_side() const noexcept override { return far_side_; }
  [[nodiscard]] std::unique_ptr<Link> link(const LinkSetup& setup) const override {
    return std::make_unique<SocketLink>(setup, far_side_);
  }

 private:
  Side far_side_;
};

}  // namespace

TransportPtr tcp_transport(Side far_side) { return std::make_shared<TcpTransport>(far_side); }

}  // namespace scistream::relay

#include "relay/tls_link.hpp"

#include <sys/socket.h>

#include <array>
#include <utility>

namespace scistream::relay {

using boost::system::error_code;
using Content = net::TlsHandshake::Content;

TlsLink::TlsLink(const LinkSetup& setup, Side far_side,
                 std::shared_ptr<const net::TlsContext> context, std::shared_ptr<net::KeyRing> keys)
    : SocketLink(setup, far_side),
      context_(std::move(context)),
      keys_(std::move(keys)),
      deadline_(setup.context) {}

void TlsLink::secure() {
  deadline_.expires_after(setup_.options.handshake_deadline);
  deadline_.async_wait([this, keep = owner(), attempt = ++secured_](error_code ec) {
    if (ec || is_closed() || writer_ || attempt != secured_) return;
    late_ = true;
    opened("the TLS handshake did not end within " +
           std::to_string(setup_.options.handshake_deadline.count()) + " ms");
  });
  if (far_side_ == Side::dialled) return start_handshake();
  // Who says nothing costs a socket and no more.
  wait(tcp::socket::wait_read);
}

void TlsLink::start_handshake() {
  try {
    make_handshake();
  } catch (const std::exception& error) {  // OpenSSL itself
    return opened(error.what());
  }
  if (handshake_) step();
}

void TlsLink::make_handshake() {
  const int socket = far_.native_handle();
  if (far_side_ == Side::accepted) {
    handshake_ = net::TlsHandshake::server(
        *context_, socket,
        [keys = keys_](std::string_view identity) { return keys->find(identity); });
    return;
  }
  if (offers_.empty()) offers_ = keys_->offers();
  if (offers_.empty()) return opened("the session has no key");
  handshake_ = net::TlsHandshake::client(*context_, socket, offers_[attempt_],
                                         setup_.datagrams ? Content::datagrams : Content::stream);
}

void TlsLink::wait(tcp::socket::wait_type what) {
  far_.async_wait(what, [this, keep = owner(), attempt = secured_](error_code ec) {
    if (ec || is_closed() || attempt != secured_) return;
    if (handshake_) {
      step();
    } else {
      start_handshake();
    }
  });
}

void TlsLink::step() {
  auto wants = net::TlsHandshake::Wants::failed;
  try {
    wants = handshake_->step();
  } catch (const std::exception& error) {  // OpenSSL itself
    handshake_.reset();
    return opened(error.what());
  }
  switch (wants) {
    case net::TlsHandshake::Wants::read: return wait(tcp::socket::wait_read);
    case net::TlsHandshake::Wants::write: return wait(tcp::socket::wait_write);
    case net::TlsHandshake::Wants::done: return done();
    case net::TlsHandshake::Wants::failed: break;
  }
  polite_ = far_side_ == Side::accepted && handshake_->key_is_unknown();
  failed(std::string(handshake_->error()));
}

/// A server that refuses may reset the connection before what it says of it is read.
void TlsLink::broken() {
  if (far_side_ == Side::dialled && handshake_) return failed("the peer reset the connection");
  SocketLink::broken();
}

void TlsLink::failed(const std::string& error) {
  ++secured_;  // what else the same event has woken is of no use any more
  handshake_.reset();
  deadline_.cancel();
  // Its facility may not have heard of the new key yet, or accept another hash.
  if (far_side_ == Side::dialled && ++attempt_ < offers_.size()) return dial_again();
  opened(error);
}

void TlsLink::done() {
  deadline_.cancel();
  if (!keys_->find(handshake_->identity())) {
    handshake_.reset();
    return opened("the key was replaced or released meanwhile");
  }
  carries_datagrams_ = handshake_->content() == Content::datagrams;
  if (carries_datagrams_ && far_side_ == Side::accepted && !setup_.options.datagrams) {
    handshake_.reset();
    return opened("it asks for datagrams, and this session carries none");
  }
  keys_->used(handshake_->identity());
  offers_.clear();
  auto keys = handshake_->take_keys();
  writer_.emplace(std::move(keys.sending));
  reader_.emplace(std::move(keys.receiving));
  handshake_.reset();  // tens of kilobytes
  opened({});
}

std::unique_ptr<Transit> TlsLink::outbound() {
  auto transit = std::make_unique<SealingTransit>(
      boost::asio::use_service<BufferPool>(setup_.context), *writer_);
  sealing_ = transit.get();
  return transit;
}

std::unique_ptr<Transit> TlsLink::inbound() {
  auto transit = std::make_unique<OpeningTransit>(
      boost::asio::use_service<BufferPool>(setup_.context), *reader_, *writer_);
  opening_ = transit.get();
  return transit;
}

std::optional<LinkState> TlsLink::save() {
  if (carries_datagrams_) return std::nullopt;
  auto state = SocketLink::save();
  if (state) {
    state->keys = LinkState::Keys{writer_->state(), reader_->state()};
    // Nothing of this process uses the keys again.
    writer_.reset();
    reader_.reset();
  }
  return state;
}

void TlsLink::resume(LinkState state, tcp::socket& near, std::weak_ptr<void> owner, Events events) {
  writer_.emplace(std::move(state.keys.value().sending));
  reader_.emplace(std::move(state.keys->receiving));
  SocketLink::resume(std::move(state), near, std::move(owner), std::move(events));
}

void TlsLink::close(bool clean) noexcept {
  deadline_.cancel();
  handshake_.reset();
  SocketLink::close(clean || polite_);
}

std::string TlsLink::why() const { return opening_ == nullptr ? "" : opening_->why(); }

void TlsLink::failing(PumpEnd) {
  const bool ours = opening_->alert() != net::tls::Alert::close_notify;
  if (!ours || !sealing_->empty()) return;
  // As far as it gets before the reset.
  std::array<std::uint8_t, net::RecordWriter::alert_size> record{};
  writer_->seal_alert(record.data(), opening_->alert());
  (void)::send(far_.native_handle(), record.data(), record.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

namespace {

class TlsTransport final : public Transport {
 public:
  TlsTransport(Side far_side, std::shared_ptr<const net::TlsContext> context,
               std::shared_ptr<net::KeyRing> keys)
      : far_side_(far_side), context_(std::move(context)), keys_(std::move(keys)) {}
  [[nodiscard]] std::string_view name() const noexcept override { return "tls"; }
  [[nodiscard]] Side far_side() const noexcept override { return far_side_; }
  [[nodiscard]] bool encrypts() const noexcept override { return true; }
  [[nodiscard]] bool asks_for_proof() const noexcept override {
    return far_side_ == Side::accepted;
  }
  [[nodiscard]] bool frames_datagrams() const noexcept override { return true; }
  [[nodiscard]] std::unique_ptr<Link> link(const LinkSetup& setup) const override {
    return std::make_unique<TlsLink>(setup, far_side_, context_, keys_);
  }

 private:
  Side far_side_;
  std::shared_ptr<const net::TlsContext> context_;
  std::shared_ptr<net::KeyRing> keys_;
};

}  // namespace

TransportPtr tls_transport(Side far_side, std::shared_ptr<const net::TlsContext> context,
                           std::shared_ptr<net::KeyRing> keys) {
  return std::make_shared<TlsTransport>(far_side, std::move(context), std::move(keys));
}

}  // namespace scistream::relay

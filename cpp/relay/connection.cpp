#include "relay/connection.hpp"

#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <cassert>
#include <utility>

#include "net/tcp.hpp"
#include "relay/datagram_flows.hpp"
#include "relay/dial_order.hpp"
#include "relay/proxy_header.hpp"
#include "relay/socket_link.hpp"

namespace scistream::relay {

using boost::system::error_code;

namespace {

std::string announcement_of(int accepted) {
  const auto client = net::peer_address(accepted);
  const auto listener = net::bound_address(accepted);
  // Of a client that has gone already nobody needs to hear.
  return client && listener ? proxy_header(*client, *listener) : std::string();
}

}  // namespace

Connection::Connection(boost::asio::io_context& context, net::Fd client, Endpoint target,
                       const TransportPtr& transport, const Options& options,
                       std::shared_ptr<ConnectionRecord> record, std::shared_ptr<Shaping> shaping,
                       Counters& relay, Logger log, Events events)
    : context_(context),
      accepted_(std::move(client)),
      announcement_(options.proxy_protocol ? announcement_of(accepted_.get()) : std::string()),
      target_(std::move(target)),
      transport_(transport),
      shaping_(std::move(shaping)),
      options_(options),
      record_(std::move(record)),
      log_(std::move(log)),
      events_(std::move(events)),
      turn_(context),
      near_(context),
      near_dialer_(context, target_, options),
      link_(transport->link(
          {context, options, record_->datagrams, *shaping_, record_->traffic, relay.traffic})) {}

Link::Events Connection::link_events() {
  Link::Events events;
  events.opened = [this](const std::string& error) { link_opened(error); };
  events.dialling = events_.dialling;
  events.retrying = [this](const std::string& error) { retrying(error); };
  events.ended = [this](Direction direction, PumpEnd how) { pumped(direction, how); };
  events.broken = [this] {
    const bool proving =
        transport_->asks_for_proof() && !record_->admitted.load(std::memory_order_relaxed);
    end(proving ? ConnectionEnd::refused : ConnectionEnd::reset, "it reset the connection");
  };
  return events;
}

void Connection::start() {
  assert(context_.get_executor().running_in_this_thread());
  if (!events_.ended) return;
  if (transport_->far_side() == Side::accepted) {
    link_->accept(std::move(accepted_), weak_from_this(), link_events());
    return;
  }
  error_code ec;
  near_.assign(protocol_of(accepted_.get()), accepted_.get(), ec);
  if (ec) {
    log_->error("connection {} from {}: {}", record_->id, record_->peer, ec.message());
    end(ConnectionEnd::reset);
    return;
  }
  (void)accepted_.release();
  watch_for_reset(near_, shared_from_this(), [this] { end(ConnectionEnd::reset); });
  admit();
  dial_in_turn();
}

void Connection::dial_in_turn() {
  const auto go = [weak = weak_from_this(), &context = context_] {
    boost::asio::post(context, [weak] {
      const auto self = weak.lock();
      if (self && self->events_.ended) self->dial();
    });
  };
  if (events_.ready(go)) return dial();
  turn_.expires_after(DialOrder::patience);
  turn_.async_wait([self = shared_from_this()](error_code ec) {
    if (!ec && self->events_.ended && self->events_.jump()) self->dial();
  });
}

void Connection::dial() {
  turn_.cancel();
  if (transport_->far_side() == Side::dialled)
    return link_->dial(target_, weak_from_this(), link_events());
  near_dialer_.start(
      weak_from_this(), events_.dialling, [this](const std::string& why) { retrying(why); },
      [this](const std::string& why, tcp::socket target) { near_dialled(why, std::move(target)); });
}

void Connection::resume(LinkState link) {
  assert(context_.get_executor().running_in_this_thread());
  if (!events_.ended) return;
  try {
    near_.assign(protocol_of(accepted_.get()), accepted_.get());
    (void)accepted_.release();
    admit();
    record_->dialled.store(true, std::memory_order_relaxed);
    carries_ = true;
    finished_directions_ = (link.out.ended ? 1 : 0) + (link.in.ended ? 1 : 0);
    link_->resume(std::move(link), near_, weak_from_this(), link_events());
  } catch (const std::exception& error) {
    log_->error("connection {} from {} cannot go on: {}", record_->id, record_->peer, error.what());
    end(ConnectionEnd::reset);
  }
}

std::optional<ConnectionState> Connection::save() {
  if (!events_.ended || !carries_ || record_->datagrams) return std::nullopt;
  std::optional<LinkState> link;
  try {
    link = link_->save();
  } catch (const std::exception& error) {  // no memory for what is in transit
    log_->error("connection {} from {} cannot be handed over: {}", record_->id, record_->peer,
                error.what());
    end(ConnectionEnd::reset);
  }
  if (!link) return std::nullopt;
  ConnectionState state;
  state.link = std::move(*link);
  error_code ec;
  state.near = net::Fd(near_.release(ec));
  state.listener = record_->listener;
  state.accepted_far = transport_->far_side() == Side::accepted;
  state.peer = record_->peer;
  state.target = record_->target;
  state.bytes_to_client = record_->traffic.to_client();
  state.bytes_to_target = record_->traffic.to_target();
  end(ConnectionEnd::clean);
  return state;
}

void Connection::make_room() {
  if (record_->admitted.load(std::memory_order_relaxed)) return;
  // No proof that it has not the key: what makes room is not held against its address.
  end(ConnectionEnd::silent);
}

void Connection::admit() {
  record_->admitted.store(true, std::memory_order_relaxed);
  events_.admitted();
}

void Connection::link_opened(const std::string& error) {
  if (transport_->far_side() == Side::dialled) {
    if (!error.empty()) return unreachable(error);
    return carry();
  }
  if (!error.empty())
    return end(
        link_->is_late() && !link_->has_begun() ? ConnectionEnd::silent : ConnectionEnd::refused,
        error);
  admit();
  if (link_->carries_datagrams()) return carry_datagrams();
  dial_in_turn();
}

void Connection::carry_datagrams() {
  auto ends = StreamEnd::pair();
  error_code ec;
  if (ends) near_.assign(tcp::v4(), ends->first.get(), ec);
  if (!ends || ec) return unreachable(ec ? ec.message() : "no descriptors");
  (void)ends->first.release();
  relay::carry_datagrams(context_, std::move(ends->second), target_, options_,
                         std::shared_ptr<Shaper>(shaping_, &shaping_->of(Direction::to_client)));
  carry();
}

void Connection::near_dialled(const std::string& error, tcp::socket target) {
  if (!error.empty()) return unreachable(error);
  near_ = std::move(target);
  if (!announce()) return unreachable("it does not take the header of the PROXY protocol");
  carry();
}

bool Connection::announce() {
  if (announcement_.empty()) return true;
  // Nothing was sent yet: it fits.
  const ssize_t sent = ::send(near_.native_handle(), announcement_.data(), announcement_.size(),
                              MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent == static_cast<ssize_t>(announcement_.size());
}

void Connection::retrying(const std::string& error) {
  log_->warn("connection {} from {}: target {} is not there yet: {}; trying again", record_->id,
             record_->peer, record_->target, error);
}

void Connection::unreachable(const std::string& error) {
  log_->error("connection {} from {}: cannot reach target {}: {}", record_->id, record_->peer,
              record_->target, error);
  end(ConnectionEnd::reset);
}

void Connection::carry() {
  record_->dialled.store(true, std::memory_order_relaxed);
  carries_ = true;
  link_->carry(near_);
}

void Connection::pumped(Direction direction, PumpEnd how) {
  if (how != PumpEnd::finished) {
    if (const std::string why = link_->why(); !why.empty()) {
      log_->error("connection {} from {} to {}: {}", record_->id, record_->peer, record_->target,
                  why);
    } else {
      log_->debug("connection {}: {} failed", record_->id,
                  how == PumpEnd::source_failed ? "reading" : "writing");
    }
    return end(ConnectionEnd::reset);
  }
  error_code ec;
  // Not left to close(): another process may have the socket as well.
  if (direction != towards(transport_->far_side())) near_.shutdown(tcp::socket::shutdown_send, ec);
  if (ec) {
    end(ConnectionEnd::reset);
  } else if (++finished_directions_ == 2) {
    end(ConnectionEnd::clean);
  }
}

void Connection::end(ConnectionEnd how, const std::string& why) {
  if (!events_.ended) return;
  const auto ended = std::exchange(events_.ended, nullptr);
  turn_.cancel();
  if (events_.dialling) events_.dialling();
  near_dialer_.stop();
  link_->close(how == ConnectionEnd::clean);
  error_code ignored;
  if (near_.is_open()) {
    if (how == ConnectionEnd::clean) net::set_reset_on_close(near_.native_handle(), false);
    near_.close(ignored);
  }
  accepted_.reset();
  ended(how, why);
}

}  // namespace scistream::relay

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "relay/dialer.hpp"
#include "relay/transport.hpp"

namespace scistream::relay {

/// A link of one TCP connection, its bytes as they are. What secures them derives from it.
class SocketLink : public Link {
 public:
  SocketLink(const LinkSetup& setup, Side far_side);

  void accept(net::Fd socket, std::weak_ptr<void> owner, Events events) override;
  void dial(const Endpoint& target, std::weak_ptr<void> owner, Events events) override;
  void carry(boost::asio::ip::tcp::socket& near) override;
  std::optional<LinkState> save() override;
  void resume(LinkState state, boost::asio::ip::tcp::socket& near, std::weak_ptr<void> owner,
              Events events) override;
  void close(bool clean) noexcept override;

 protected:
  using tcp = boost::asio::ip::tcp;

  /// The far socket is connected: calls `opened` at some time.
  virtual void secure() { opened({}); }
  /// What becomes of the bytes on their way out, and in.
  virtual std::unique_ptr<Transit> outbound();
  virtual std::unique_ptr<Transit> inbound();
  /// A pump has failed.
  virtual void failing(PumpEnd) {}
  /// The peer has reset the connection.
  virtual void broken() { events_.broken(); }

  void opened(const std::string& error);
  /// Drops the far socket and dials anew.
  void dial_again();
  [[nodiscard]] bool is_closed() const noexcept { return closed_; }
  [[nodiscard]] std::shared_ptr<void> owner() const { return owner_.lock(); }

  const LinkSetup setup_;
  const Side far_side_;
  tcp::socket far_;

 private:
  void watch_for_reset();
  void make_pumps(tcp::socket& near);
  std::function<void(PumpEnd)> end_of(Direction direction);
  void ended(Direction direction, PumpEnd how);

  std::weak_ptr<void> owner_;
  Events events_;
  Endpoint target_;
  std::unique_ptr<Dialer> dialer_;
  std::vector<std::unique_ptr<Dialer>> old_dialers_;  ///< Their handlers may be queued still.
  std::optional<Pump> out_;
  std::optional<Pump> in_;
  bool closed_ = false;
};

/// The family of a socket, which Asio wants to be told.
boost::asio::ip::tcp protocol_of(int socket);

}  // namespace scistream::relay

#pragma once

#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/tls_handshake.hpp"
#include "net/tls_keys.hpp"
#include "relay/socket_link.hpp"
#include "relay/tls_transit.hpp"

namespace scistream::relay {

/// TLS 1.3 with the session's pre-shared key, for each connection anew: both ends prove that they
/// have the key before a byte of the application moves. `keys` may change while it is in use; which
/// end dials is the client.
TransportPtr tls_transport(Side far_side, std::shared_ptr<const net::TlsContext> context,
                           std::shared_ptr<net::KeyRing> keys);

/// A link of one TLS connection.
class TlsLink final : public SocketLink {
 public:
  TlsLink(const LinkSetup& setup, Side far_side, std::shared_ptr<const net::TlsContext> context,
          std::shared_ptr<net::KeyRing> keys);

  [[nodiscard]] bool carries_datagrams() const override { return carries_datagrams_; }
  [[nodiscard]] bool is_late() const override { return late_; }
  [[nodiscard]] bool has_begun() const override { return handshake_.has_value(); }
  [[nodiscard]] std::string why() const override;
  std::optional<LinkState> save() override;
  void resume(LinkState state, boost::asio::ip::tcp::socket& near, std::weak_ptr<void> owner,
              Events events) override;
  void close(bool clean) noexcept override;

 private:
  void secure() override;
  std::unique_ptr<Transit> outbound() override;
  std::unique_ptr<Transit> inbound() override;
  void failing(PumpEnd how) override;
  void broken() override;

  void start_handshake();
  /// None where there is no key for one, and that was said.
  void make_handshake();
  void step();
  void wait(tcp::socket::wait_type what);
  void done();
  /// The handshake has failed: tries the next key, if there is one.
  void failed(const std::string& error);

  const std::shared_ptr<const net::TlsContext> context_;
  const std::shared_ptr<net::KeyRing> keys_;
  boost::asio::steady_timer deadline_;
  std::optional<net::TlsHandshake> handshake_;
  std::vector<net::PreSharedKey> offers_;  ///< Of the end that connects, from the first attempt on.
  std::size_t attempt_ = 0;
  std::size_t secured_ = 0;  ///< Tells the handlers of this attempt from those of one that ended.
  bool carries_datagrams_ = false;
  bool late_ = false;
  bool polite_ = false;  ///< The peer speaks TLS and is to hear why it is refused.

  std::optional<net::RecordWriter> writer_;
  std::optional<net::RecordReader> reader_;
  /// Owned by the pumps, which live as long as this.
  SealingTransit* sealing_ = nullptr;
  OpeningTransit* opening_ = nullptr;
};

}  // namespace scistream::relay

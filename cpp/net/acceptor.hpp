#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/log.hpp"
#include "net/fd.hpp"
#include "net/tcp.hpp"

namespace scistream::net {

/// One bound socket and its accept loop. A member of what takes the connections; handlers hold
/// `owner`. socket() may be used on any thread as long as the owner keeps it from meeting close();
/// everything else lives on the thread of the context.
///
/// When descriptors or memory run out it waits, 10 ms doubling to 1 s, and goes on: clients stay in
/// the backlog meanwhile.
class Acceptor {
 public:
  /// What an accepted, non-blocking socket and its peer are handed to. The peer is nobody where the
  /// socket is not of IP.
  using Accepted = std::function<void(std::size_t index, Fd client, const tcp::endpoint& peer)>;

  /// `socket` is bound (bind_tcp, bind_unix) to `name`; `accepted` outlives this object and is told
  /// `index`.
  Acceptor(boost::asio::io_context& context, Fd socket, std::size_t index, std::string name,
           const Accepted& accepted, Logger log);

  /// Keeps a descriptor back for the time when the process has no other: then one connection is
  /// accepted on it, which may take part in ending the shortage.
  void keep_spare();

  /// The socket, whose options accepted ones inherit. It listens (listen_tcp) before start().
  [[nodiscard]] int socket();
  /// Accepts from now on.
  void start(std::weak_ptr<void> owner);
  /// Frees the port; connections not yet accepted are reset by the kernel. Linux loses that reset
  /// for a client whose handshake ends in the same moment: it is told when it next sends a byte.
  void close();

 private:
  void wait();
  void accept();
  void back_off(int errnum);

  boost::asio::io_context& context_;
  Fd socket_;  ///< Until start().
  const std::size_t index_;
  const std::string name_;
  const Accepted& accepted_;
  const Logger log_;
  std::weak_ptr<void> owner_;
  std::optional<boost::asio::posix::stream_descriptor> accepting_;
  std::optional<boost::asio::steady_timer> timer_;  ///< Only once something ran out.
  std::chrono::milliseconds backoff_{0};            ///< 0 while all is well.
  bool keeps_spare_ = false;
  Fd spare_;
};

}  // namespace scistream::net

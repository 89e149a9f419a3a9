#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "net/fd.hpp"

namespace scistream::net {

using boost::asio::ip::tcp;

/// Turns a local host (address, name or wildcard; empty is 0.0.0.0) and a port into an address to
/// bind. Blocks while a name is looked up. `invalid_argument` names a host that does not resolve.
Result<tcp::endpoint> local_endpoint(const Endpoint& endpoint);

/// A non-blocking, close-on-exec TCP socket bound to `address` and not yet listening: the kernel
/// refuses connections to it. No other socket can take the port, not even with SO_REUSEADDR, but
/// connections of an earlier listener in TIME_WAIT do not stand in the way. Never SO_REUSEPORT.
/// `already_exists` if the port is held, `exhausted` without descriptors. Any thread.
Result<Fd> bind_tcp(const tcp::endpoint& address);

/// Makes a socket of `bind_tcp` listen; repeating it changes the backlog. Any thread.
Status listen_tcp(int socket, int backlog);

/// The address and port a socket is bound to.
Result<tcp::endpoint> bound_address(int socket);
/// Those of whom a socket is connected with.
Result<tcp::endpoint> peer_address(int socket);

/// As the house writes endpoints: the numeric address and the port.
Endpoint to_endpoint(const tcp::endpoint& address);

/// Sets TCP_NODELAY and a keepalive that notices a dead peer: first probe after 60 s of silence,
/// then every 10 s, given up after 6. Sockets accepted from a listener inherit all of it.
/// Errors are ignored: a socket that is already dead says so at its next use.
void set_stream_options(int socket) noexcept;

/// Keeps TCP from pacing what stays on this host: without an `fq` queue, BBR sets a timer for every
/// packet, on the cores that do the work, which on loopback is most of what a byte costs. For a
/// socket that connects to `address` or listens there, before it does; accepted sockets inherit it.
/// Does nothing where `address` is not a loopback address.
void leave_unpaced_on_loopback(int socket, const tcp::endpoint& address) noexcept;

/// While on, closing the socket, the death of the process included, reaches the peer as a reset.
/// Inherited by accepted sockets.
void set_reset_on_close(int socket, bool on) noexcept;

/// Resolves `endpoint` without blocking and calls `done` once, from the resolver's context and
/// never from within this call. An address needs no look-up and no resolver thread.
/// `tcp::resolver::cancel` makes it `operation_aborted`.
void async_resolve(tcp::resolver& resolver, const Endpoint& endpoint,
                   std::function<void(boost::system::error_code, std::vector<tcp::endpoint>)> done);

/// The addresses of this host's interfaces that are up, loopback included, without duplicates.
Result<std::vector<std::string>> local_addresses();

/// True if a socket of this host can be bound to `host` (an address or a name; wildcards are
/// local). Blocks while a name is looked up.
bool is_local_address(const std::string& host);

/// The local address the kernel would use to reach the address `peer`; sends nothing.
/// `invalid_argument` if `peer` is not an address, `unavailable` if there is no route.
Result<std::string> route_source(std::string_view peer);

}  // namespace scistream::net

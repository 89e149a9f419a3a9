#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <string>

namespace scistream::relay {

/// What precedes the bytes of a connection to a target that is to know who has connected: the
/// binary header of the PROXY protocol, version 2. `client` has connected to `listener`; an IPv4
/// address may be written as an IPv6 one.
std::string proxy_header(const boost::asio::ip::tcp::endpoint& client,
                         const boost::asio::ip::tcp::endpoint& listener);

}  // namespace scistream::relay

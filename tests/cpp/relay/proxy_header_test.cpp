#include "relay/proxy_header.hpp"

#include <gtest/gtest.h>

#include "base/secret.hpp"

namespace scistream::relay {
namespace {

using boost::asio::ip::make_address;
using tcp = boost::asio::ip::tcp;

std::string hex(const std::string& bytes) { return to_hex(Secret(bytes).bytes()); }

tcp::endpoint at(const char* address, std::uint16_t port) { return {make_address(address), port}; }

// The examples are written by hand from the protocol's description, section 2.2.
TEST(ProxyHeader, NamesClientAndListenerOfFour) {
  EXPECT_EQ(hex(proxy_header(at("192.0.2.1", 40'000), at("198.51.100.7", 5100))),
            "0d0a0d0a000d0a515549540a"
            "21110"
            "00c"
            "c0000201c6336407"
            "9c4013ec");
}

TEST(ProxyHeader, NamesClientAndListenerOfSix) {
  EXPECT_EQ(hex(proxy_header(at("2001:db8::1", 1), at("2001:db8::2", 65'535))),
            "0d0a0d0a000d0a515549540a"
            "2121"
            "0024"
            "20010db8000000000000000000000001"
            "20010db8000000000000000000000002"
            "0001ffff");
}

TEST(ProxyHeader, WritesFourAsFourWhereASocketTakesBoth) {
  EXPECT_EQ(proxy_header(at("::ffff:192.0.2.1", 1), at("::ffff:192.0.2.2", 2)),
            proxy_header(at("192.0.2.1", 1), at("192.0.2.2", 2)));
}

}  // namespace
}  // namespace scistream::relay

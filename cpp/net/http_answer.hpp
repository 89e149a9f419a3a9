#pragma once

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstddef>

#include "net/http_client.hpp"

namespace scistream::net {

/// What a web server says, as it comes in.
using HttpParser = boost::beast::http::response_parser<boost::beast::http::string_body>;

/// So much of it is read and no more.
void limit(HttpParser& parser, std::size_t most_body);

/// From one that has read all of an answer. `unavailable` says why it is none that can be used.
Result<HttpResponse> response_in(HttpParser& parser);

}  // namespace scistream::net

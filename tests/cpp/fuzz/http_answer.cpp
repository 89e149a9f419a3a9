// What a web server answers, in two pieces.
#include "net/http_answer.hpp"

#include <boost/asio/buffer.hpp>

#include "fuzz.hpp"

using namespace scistream;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t most = 1'000;
  net::HttpParser parser;
  parser.eager(true);
  net::limit(parser, most);
  if (size == 0) return 0;
  const std::size_t cut = data[0] % size;
  std::string text;
  for (const auto& piece : {text_of(data, size).substr(1, cut), text_of(data, size).substr(1)}) {
    boost::system::error_code ec;
    // What is not taken yet comes again, with more.
    text = piece;
    if (parser.is_done()) break;
    const std::size_t taken = parser.put(boost::asio::buffer(text), ec);
    require(taken <= text.size());
    if (ec && ec != boost::beast::http::error::need_more) return 0;
    if (taken > 0) break;
  }
  if (!parser.is_done()) return 0;
  if (const auto response = net::response_in(parser)) {
    require(response->body.size() <= most);
    require(response->max_age.count() >= 0 && response->max_age <= std::chrono::hours(24));
  }
  return 0;
}

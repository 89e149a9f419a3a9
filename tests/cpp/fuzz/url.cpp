// Addresses of the web.
#include "net/url.hpp"

#include "fuzz.hpp"

using namespace scistream;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = text_of(data, size);
  if (const auto url = net::parse_url(text)) {
    const auto again = net::parse_url(to_string(*url));
    require(again.ok() && *again == *url);
    // Nothing that ends a line of a request.
    for (const char c : to_string(*url)) require(c > ' ' && c < '\x7f');
    require(url->target.starts_with('/'));
  }
  for (const char c : net::percent_encoded(text)) require(c > ' ' && c < '\x7f' && c != '&');
  return 0;
}

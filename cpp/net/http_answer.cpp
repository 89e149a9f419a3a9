#include "net/http_answer.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

namespace scistream::net {

namespace {

namespace http = boost::beast::http;

constexpr std::uint32_t most_header = 16'384;

std::chrono::seconds max_age_in(std::string_view cache_control) {
  constexpr std::string_view name = "max-age=";
  const auto found = cache_control.find(name);
  if (found == std::string_view::npos || cache_control.find("no-store") != std::string_view::npos)
    return std::chrono::seconds(0);
  constexpr long most = 86'400;
  long seconds = 0;
  for (const char c : cache_control.substr(found + name.size())) {
    if (c < '0' || c > '9') break;
    seconds = std::min(most, seconds * 10 + (c - '0'));
  }
  return std::chrono::seconds(seconds);
}

}  // namespace

void limit(HttpParser& parser, std::size_t most_body) {
  parser.body_limit(most_body);
  parser.header_limit(most_header);
}

Result<HttpResponse> response_in(HttpParser& parser) {
  auto& response = parser.get();
  const auto encoding = response[http::field::content_encoding];
  if (!encoding.empty() && encoding != "identity")
    return Error{Cause::unavailable, "answers compressed, which it was not asked for"};
  HttpResponse found;
  found.status = response.result_int();
  const auto kept = response[http::field::cache_control];
  found.max_age = max_age_in({kept.data(), kept.size()});
  found.body = std::move(response.body());
  return found;
}

}  // namespace scistream::net

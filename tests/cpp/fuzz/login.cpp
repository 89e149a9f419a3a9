// What users configure of logins, and what providers answer.
#include "client/login_config.hpp"
#include "client/oauth_answers.hpp"
#include "fuzz.hpp"

using namespace scistream;

namespace {

constexpr auto now = std::chrono::system_clock::time_point(std::chrono::seconds(1'800'000'000));

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = text_of(data, size);
  if (const auto config = client::LoginConfig::parse(text)) {
    for (const auto& [server, entry] : config->servers) require(!entry.scope.empty());
  }
  const std::string issuer = "https://login.example.org";
  if (const auto provider = client::provider_in(text, issuer)) {
    require(provider->issuer == issuer);
    require(provider->token.encrypted || is_loopback(provider->token.server.host));
  }
  const client::Asked asked{issuer, "client", "stream", ""};
  if (const auto granted = client::granted_in(text, asked, now))
    require(!granted->tokens.access.empty());
  client::Tokens tokens;
  client::take_user(text, tokens);
  const net::Url endpoint{true, {"login.example.org", 443}, "/device"};
  if (const auto device = client::device_code_in(text, endpoint, now))
    require(!device->user_code.empty());
  for (const char c : client::error_named_in(text)) require(c >= ' ' && c <= '~');
  (void)client::refusal(endpoint, 400, text, {"secret"});
  return 0;
}

// Signed tokens, the keys they are checked with, and what authorization servers say of others.
#include "auth/introspection_answer.hpp"
#include "auth/jwt.hpp"
#include "auth/key_set.hpp"
#include "base/base64url.hpp"
#include "fuzz.hpp"

using namespace scistream;

namespace {

constexpr auto now = std::chrono::system_clock::time_point(std::chrono::seconds(1'800'000'000));

/// The generator of P-256 as a key (SEC 2, section 2.4.2): no input signs with it by chance.
const auth::KeySet& keys() {
  static const auth::KeySet set =
      auth::KeySet::parse(R"({"keys":[{"kty":"EC","crv":"P-256","kid":"k",
        "x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
        "y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}]})")
          .value();
  return set;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = text_of(data, size);
  require(keys().size() == 1);
  const auth::Expected here{"issuer", "audience"};
  require(!auth::identity_in(text, keys(), here, now).ok());
  (void)auth::KeySet::parse(text);
  if (const auto who =
          auth::identity_in_introspection(text, {"issuer", "audience", "scope"}, now)) {
    require(!who->subject.empty());
    require(who->expires > now - auth::clock_leeway);
  }
  if (const auto bytes = from_base64url(text)) {
    const auto* const first = reinterpret_cast<const std::uint8_t*>(bytes->data());
    require(base64url({first, bytes->size()}) == text);
  }
  return 0;
}

// What an issuer that is trusted says of somebody: claims behind a good signature.
#include "auth/jwt.hpp"
#include "auth/key_set.hpp"
#include "auth/policy.hpp"
#include "auth/signing.hpp"
#include "fuzz.hpp"

using namespace scistream;
using namespace scistream::auth::test;

namespace {

constexpr auto now = std::chrono::system_clock::time_point(std::chrono::seconds(1'800'000'000));

struct Issuer {
  Signer signer = Signer::p256();
  auth::KeySet keys = auth::KeySet::parse(json{{"keys", {signer.published("k")}}}.dump()).value();

  [[nodiscard]] auto identity(const std::string& claims) const {
    const std::string token =
        signer.token({{"alg", "ES256"}, {"kid", "k"}, {"typ", "at+jwt"}}, claims);
    return auth::identity_in(token, keys, {"issuer", "audience"}, now);
  }
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Issuer issuer;
  static const bool is_taken =
      issuer
          .identity(
              json{{"iss", "issuer"}, {"sub", "user"}, {"aud", "audience"}, {"exp", 2e9}}.dump())
          .ok();
  require(is_taken);  // else what follows would look at signatures only
  const auto who = issuer.identity(std::string(text_of(data, size)));
  if (!who) return 0;
  require(!who->subject.empty() && who->issuer == "issuer");
  require(who->expires > now - auth::clock_leeway);
  const auto principal = auth::principal_of(*who, auth::Rights{});
  // Nobody gets another's sessions by a name that looks like theirs.
  require(principal.id == "issuer\n" + who->subject);
  return 0;
}

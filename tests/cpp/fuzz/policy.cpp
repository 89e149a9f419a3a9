// Who may do what, as an operator writes it.
#include "auth/policy.hpp"

#include "fuzz.hpp"

using namespace scistream;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto policy = auth::Policy::parse(text_of(data, size));
  if (!policy) {
    require(policy.error().cause == Cause::invalid_argument);
    return 0;
  }
  require(!policy->rules().empty());
  for (const auth::Rule& rule : policy->rules()) {
    require(!auth::in_words(rule).empty());
    // Whoever fits by a name does so at an issuer.
    const auth::Who& who = rule.who;
    require(!who.issuer.empty() ||
            (who.identities.empty() && who.groups.empty() && who.domains.empty()));
    for (const net::Destination& each : rule.rights.targets) {
      const auto again = net::parse_destination(net::to_string(each));
      require(again.ok() && *again == each);
    }
  }
  auth::Identity somebody;
  somebody.issuer = "issuer";
  somebody.subject = "somebody";
  if (const auto rights = policy->rights_of(somebody)) {
    session::Request request;
    request.key = {"uid", Role::producer};
    (void)auth::admit(*rights, request);
    require(request.ports == rights->ports || !rights->produce || rights->most_mbps ||
            rights->most_connections);
  }
  return 0;
}

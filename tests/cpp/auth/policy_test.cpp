#include "auth/policy.hpp"

#include <gtest/gtest.h>

#include "net/sockets.hpp"

namespace scistream::auth {
namespace {

using test::must;

Identity somebody(const std::string& subject, const std::string& email = "",
                  const std::string& issuer = "https://auth.globus.org") {
  Identity who;
  who.issuer = issuer;
  who.subject = subject;
  who.name = email;
  who.email = email;
  return who;
}

std::string why(const std::string& text) {
  const auto policy = Policy::parse(text);
  EXPECT_FALSE(policy.ok()) << text;
  if (policy.ok()) return "";
  EXPECT_EQ(policy.error().cause, Cause::invalid_argument);
  return policy.error().message;
}

// Protocol: policy-default
TEST(Policy, WithoutOneAllWhoAreKnownAreUsers) {
  const auto rights = must(Policy::for_all().rights_of(somebody("a")));
  EXPECT_TRUE(rights.produce);
  EXPECT_TRUE(rights.consume);
  EXPECT_FALSE(rights.sees || rights.releases || rights.administers);
}

// Protocol: policy-first
TEST(Policy, TheFirstRuleThatFitsDecidesAndOthersMayDoNothing) {
  const auto policy = must(Policy::parse(R"(
[[rule]]
name = "not this one"
issuer = "https://auth.globus.org"
identity = "mallory@anl.gov"
deny = true

[[rule]]
issuer = "https://auth.globus.org"
domain = ["ANL.gov"]
max_sessions = 3

[[rule]]
issuer = "https://login.example.org"
group = ["beamline-7"]
produce = false
)"));
  const auto refused = policy.rights_of(somebody("m", "mallory@anl.gov"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().cause, Cause::permission_denied);
  EXPECT_EQ(must(policy.rights_of(somebody("a", "alice@anl.gov"))).most_sessions, 3U);
  EXPECT_FALSE(policy.rights_of(somebody("a", "alice@anl.gov.example.org")).ok());
  EXPECT_FALSE(policy.rights_of(somebody("a", "alice@anl.gov", "https://other.example")).ok());
  EXPECT_FALSE(policy.rights_of(somebody("a")).ok());
  auto member = somebody("b", "", "https://login.example.org");
  EXPECT_FALSE(policy.rights_of(member).ok());
  member.groups = {"others", "beamline-7"};
  EXPECT_FALSE(must(policy.rights_of(member)).produce);
  EXPECT_TRUE(must(policy.rights_of(member)).consume);
}

TEST(Policy, SubjectsAndLinkedOnesAreIdentities) {
  const auto policy = must(Policy::parse(
      "[[rule]]\nissuer = \"https://auth.globus.org\"\nidentity = [\"1234\", \"a@b.org\"]\n"));
  EXPECT_TRUE(policy.rights_of(somebody("1234")).ok());
  EXPECT_TRUE(policy.rights_of(somebody("9", "A@B.org")).ok());
  auto linked = somebody("9");
  EXPECT_FALSE(policy.rights_of(linked).ok());
  linked.linked = {"1234"};
  EXPECT_TRUE(policy.rights_of(linked).ok());
  auto named = somebody("9");
  named.name = "a@b.org";
  EXPECT_FALSE(policy.rights_of(named).ok()) << "which they may have made up";
}

TEST(Policy, SaysWhatSomebodyMay) {
  const auto policy = must(Policy::parse(R"([[rule]]
ports = "5100-5149"
max_connections = 16
max_rate = 1000
targets = ["10.0.0.0/8:5000-6000", "2001:db8::/32"]
see_others = true
release_others = true
administer = true
)"));
  const auto rights = must(policy.rights_of(somebody("a")));
  EXPECT_EQ(rights.ports, (PortRange{5100, 5149}));
  EXPECT_EQ(rights.most_connections, 16);
  EXPECT_EQ(rights.most_mbps, 1000);
  ASSERT_EQ(rights.targets.size(), 2U);
  EXPECT_EQ(net::to_string(rights.targets[0]), "10.0.0.0/8:5000-6000");
  EXPECT_TRUE(rights.sees && rights.releases && rights.administers);
  const std::string words = in_words(policy.rules().front());
  for (const char* part : {"all whom this server knows", "5100-5149", "16", "1000 Mbit/s",
                           "10.0.0.0/8:5000-6000", "administer"})
    EXPECT_NE(words.find(part), std::string::npos) << words;
}

// Protocol: policy-errors
TEST(Policy, SaysInWhichLineSomethingIsWrong) {
  EXPECT_NE(why("\n\nrule = ").find("line 3"), std::string::npos);
  EXPECT_NE(why("[[rule]]\nmax_conections = 3\n").find("line 2: 'max_conections'"),
            std::string::npos);
  EXPECT_NE(why("[[rule]]\n\nmax_connections = 0\n").find("line 3: 'max_connections'"),
            std::string::npos);
  EXPECT_NE(why("[[rule]]\nmax_rate = \"10\"\n").find("max_rate"), std::string::npos);
  EXPECT_NE(why("[[rule]]\nproduce = \"no\"\n").find("true or false"), std::string::npos);
  EXPECT_NE(why("[[rule]]\ntargets = [\"10.0.0.0/99\"]\n").find("10.0.0.0/99"), std::string::npos);
  EXPECT_NE(why("[[rule]]\nports = \"9-5\"\n").find("line 2"), std::string::npos);
  EXPECT_NE(why("[[rule]]\nissuer = \"i\"\nidentity = []\n").find("empty"), std::string::npos);
  EXPECT_NE(why("[[rule]]\nissuer = \"i\"\nidentity = [1]\n").find("identity"), std::string::npos);
  EXPECT_NE(why("# \xc3\xa4\n[[rule]]\nname = \"\xc3\xa4\"\n").find("line 3: letters beyond ASCII"),
            std::string::npos);
  EXPECT_EQ(must(Policy::parse("# \xc3\xa4\n[[rule]]\nname = \"\\u00e4\"\n")).rules()[0].name,
            "\xc3\xa4");
  EXPECT_NE(why("").find("no [[rule]]"), std::string::npos);
  EXPECT_NE(why("rules = 1\n").find("'rules'"), std::string::npos);
  EXPECT_NE(why("rule = 1\n").find("[[rule]]"), std::string::npos);
}

// Protocol: policy-issuer
TEST(Policy, NamesOfPeopleNeedTheIssuerThatVouchesForThem) {
  for (const char* who : {"identity = \"a@b.org\"", "group = \"g\"", "domain = \"b.org\""})
    EXPECT_NE(why(std::string("[[rule]]\n") + who + "\n").find("names the issuer"),
              std::string::npos);
}

session::Request request(Role role, int num_conn = 1, long long mbps = 0) {
  session::Request wanted;
  wanted.key = {"a", role};
  wanted.num_conn = num_conn;
  wanted.rate.mbps = mbps;
  return wanted;
}

// Protocol: policy-request
TEST(Rights, LimitWhatIsRequested) {
  Rights rights;
  rights.consume = false;
  rights.most_connections = 4;
  rights.most_mbps = 100;
  rights.ports = PortRange{5100, 5109};
  const auto asked = [&](session::Request wanted) { return admit(rights, wanted).ok(); };
  EXPECT_TRUE(asked(request(Role::producer, 4, 100)));
  EXPECT_FALSE(asked(request(Role::consumer, 4, 100)));
  EXPECT_FALSE(asked(request(Role::producer, 5, 100)));
  EXPECT_FALSE(asked(request(Role::producer, 4, 101)));
  EXPECT_FALSE(asked(request(Role::producer, 4, 0))) << "best effort has no end";
  auto wanted = request(Role::producer, 1, 50);
  ASSERT_TRUE(admit(rights, wanted).ok());
  EXPECT_EQ(wanted.ports, (PortRange{5100, 5109}));
  EXPECT_TRUE(wanted.rate.is_explicit);
}

TEST(Rights, PrincipalsOfDifferentIssuersDiffer) {
  EXPECT_NE(principal_of(somebody("a", "", "https://x"), {}).id,
            principal_of(somebody("a", "", "https://y"), {}).id);
}

}  // namespace
}  // namespace scistream::auth

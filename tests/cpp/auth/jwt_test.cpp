#include "auth/jwt.hpp"

#include <gtest/gtest.h>
#include <openssl/hmac.h>

#include "auth/signing.hpp"

namespace scistream::auth {
namespace {

using namespace test;
using std::chrono::seconds;
using std::chrono::system_clock;

const Signer& rsa() {
  static const Signer signer = Signer::rsa();
  return signer;
}
const Signer& elliptic() {
  static const Signer signer = Signer::p256();
  return signer;
}
const Signer& stranger() {
  static const Signer signer = Signer::rsa();
  return signer;
}

constexpr long noon = 1'800'000'000;
const Expected here{"https://issuer.example", "scistream", "", true};

json claims(const json& changes = json::object()) {
  json all{{"iss", here.issuer}, {"sub", "user-1"},         {"aud", here.audience},
           {"exp", noon + 600},  {"nbf", noon - 600},       {"scope", "openid stream"},
           {"groups", {"beam"}}, {"email", "a@example.org"}};
  all.merge_patch(changes);
  return all;
}

class JwtTest : public ::testing::Test {
 protected:
  Result<Identity> check(const std::string& token, long time = noon) {
    return identity_in(token, keys_, here, system_clock::from_time_t(time));
  }
  void refuses(const std::string& token, Cause cause = Cause::unauthenticated) {
    const auto who = check(token);
    ASSERT_FALSE(who.ok()) << token;
    EXPECT_EQ(who.error().cause, cause) << who.error().message;
    EXPECT_LT(who.error().message.size(), 200U);
  }

  const KeySet keys_ =
      KeySet::parse(json{{"keys", {rsa().published("r"), elliptic().published("e")}}}.dump())
          .value();
};

TEST_F(JwtTest, TellsWhoItIsAbout) {
  for (const auto& [signer, how, id] :
       {std::tuple(&rsa(), "RS256", "r"), std::tuple(&rsa(), "RS512", "r"),
        std::tuple(&elliptic(), "ES256", "e")}) {
    const auto who = check(signer->token({{"alg", how}, {"kid", id}, {"typ", "JWT"}}, claims()));
    ASSERT_TRUE(who.ok()) << how << ": " << who.error().message;
    EXPECT_EQ(who->issuer, here.issuer);
    EXPECT_EQ(who->subject, "user-1");
    EXPECT_EQ(who->name, "a@example.org");
    EXPECT_EQ(who->groups, std::vector<std::string>{"beam"});
    EXPECT_EQ(who->scopes, (std::vector<std::string>{"openid", "stream"}));
    EXPECT_EQ(who->expires, system_clock::from_time_t(noon + 600));
  }
  // Without an id, there must be no doubt which one.
  EXPECT_TRUE(check(rsa().token({{"alg", "RS256"}}, claims())).ok());
  EXPECT_TRUE(check(rsa().token({{"alg", "RS256"}}, claims({{"aud", {"x", "scistream"}}}))).ok());
}

TEST_F(JwtTest, OneThatIsNotForAccessIsRefused) {
  const auto with_type = [](const char* type) {
    return rsa().token({{"alg", "RS256"}, {"kid", "r"}, {"typ", type}}, claims());
  };
  for (const char* type : {"logout+jwt", "secevent+jwt", "dpop+jwt"}) refuses(with_type(type));
  for (const char* of_a_login : {"nonce", "at_hash", "events"})
    refuses(rsa().token({{"alg", "RS256"}, {"kid", "r"}}, claims({{of_a_login, "x"}})));
  // Where issuers say what is for access, nothing else is.
  Expected strict = here;
  strict.plain_tokens = false;
  const auto check_strictly = [&](const std::string& token) {
    return identity_in(token, keys_, strict, system_clock::from_time_t(noon));
  };
  EXPECT_FALSE(check_strictly(with_type("JWT")).ok());
  EXPECT_TRUE(check_strictly(with_type("at+jwt")).ok());
  EXPECT_TRUE(check_strictly(with_type("application/AT+JWT")).ok());
}

TEST_F(JwtTest, TheScopeMustBeThereWhole) {
  Expected scoped = here;
  const auto check_scope = [&](const char* scope) {
    scoped.scope = scope;
    return identity_in(rsa().token({{"alg", "RS256"}, {"kid", "r"}}, claims()), keys_, scoped,
                       system_clock::from_time_t(noon));
  };
  EXPECT_TRUE(check_scope("stream").ok());
  EXPECT_EQ(check_scope("stre").error().cause, Cause::permission_denied);
  EXPECT_EQ(check_scope("eam").error().cause, Cause::permission_denied);
}

TEST_F(JwtTest, NamesAreFitToShow) {
  for (const json& change : {json{{"sub", "a\nb"}}, json{{"email", "a\x1b[2J"}},
                             json{{"groups", {"a\rb"}}}, json{{"sub", std::string(600, 'a')}}})
    refuses(rsa().token({{"alg", "RS256"}, {"kid", "r"}}, claims(change)));
  const auto who =
      check(rsa().token({{"alg", "RS256"}, {"kid", "r"}}, claims({{"email_verified", true}})));
  EXPECT_EQ(who->email, "a@example.org");
  EXPECT_EQ(check(rsa().token({{"alg", "RS256"}, {"kid", "r"}}, claims()))->email, "");
}

TEST_F(JwtTest, AnUnsignedOneIsRefused) {
  for (const char* how :
       {"none", "None", "NONE", "", "rs256", "RS384", "PS256", "HS256", "EdDSA"}) {
    const std::string text =
        encoded(json{{"alg", how}, {"kid", "r"}}.dump()) + "." + encoded(claims().dump()) + ".";
    refuses(text);
    refuses(rsa().token({{"alg", how}, {"kid", "r"}}, claims()));
  }
  refuses(encoded(R"({"kid":"r"})") + "." + encoded(claims().dump()) + ".");
}

// The public key, which everybody has, as the secret of a symmetric signature.
TEST_F(JwtTest, APublicKeyIsNoSharedSecret) {
  const std::string modulus = rsa().published("r")["n"];
  const std::string text = encoded(R"({"alg":"HS256","kid":"r"})") + "." + encoded(claims().dump());
  unsigned char made[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), modulus.data(), static_cast<int>(modulus.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), made, &size);
  refuses(text + "." + encoded({reinterpret_cast<char*>(made), size}));
}

TEST_F(JwtTest, OnlyTheKeyThatItNamesCounts) {
  refuses(stranger().token({{"alg", "RS256"}, {"kid", "r"}}, claims()));
  refuses(stranger().token({{"alg", "RS256"}}, claims()));
  // An issuer may have new ones.
  refuses(stranger().token({{"alg", "RS256"}, {"kid", "new"}}, claims()), Cause::not_found);
  // Of another kind than the one that it says it is signed with.
  refuses(rsa().token({{"alg", "RS256"}, {"kid", "e"}}, claims()), Cause::not_found);
  refuses(elliptic().token({{"alg", "ES256"}, {"kid", "r"}}, claims()), Cause::not_found);
}

TEST_F(JwtTest, EveryByteCounts) {
  const std::string good = elliptic().token({{"alg", "ES256"}, {"kid", "e"}}, claims());
  ASSERT_TRUE(check(good).ok());
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string changed = good;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(check(changed).ok()) << i;
  }
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(check(good.substr(0, size)).ok()) << size;
  refuses(good + "A");
  refuses(good + ".");
  refuses("." + good);
}

TEST_F(JwtTest, TimesCountButForThreeSeconds) {
  const std::string token = rsa().token({{"alg", "RS256"}, {"kid", "r"}}, claims());
  EXPECT_TRUE(check(token, noon + 602).ok());
  const auto late = check(token, noon + 603);
  ASSERT_FALSE(late.ok());
  EXPECT_NE(late.error().message.find("has expired"), std::string::npos);
  EXPECT_TRUE(check(token, noon - 603).ok());
  const auto early = check(token, noon - 604);
  ASSERT_FALSE(early.ok());
  EXPECT_NE(early.error().message.find("not valid yet"), std::string::npos);
}

TEST_F(JwtTest, ClaimsThatDoNotFitAreRefused) {
  for (const json& change :
       {json{{"iss", "https://other.example"}}, json{{"iss", nullptr}}, json{{"iss", 5}},
        json{{"aud", "other"}}, json{{"aud", nullptr}}, json{{"aud", json::array()}},
        json{{"aud", {{"scistream", 1}}}}, json{{"exp", nullptr}}, json{{"exp", "1900000000"}},
        json{{"exp", -1}}, json{{"exp", 1e300}}, json{{"nbf", "x"}}, json{{"iat", noon + 60}},
        json{{"sub", nullptr}}, json{{"sub", ""}}, json{{"sub", 7}}})
    refuses(rsa().token({{"alg", "RS256"}, {"kid", "r"}}, claims(change)));
  refuses(rsa().token({{"alg", "RS256"}, {"kid", "r"}}, json::array()));
  refuses(rsa().token({{"alg", "RS256"}, {"kid", "r"}, {"crit", {"exp"}}}, claims()));
}

TEST_F(JwtTest, WhatIsNoneIsRefused) {
  for (const char* text : {"", ".", "..", "...", "a.b.c", "e30.e30.", "bm8.bm8.bm8", "%%%.%%%.%%%"})
    refuses(text);
  refuses(std::string(100'000, 'a'));
  refuses(std::string(10'000, '.'));
  // Nested as deeply as its length allows.
  refuses(encoded(std::string(4'000, '[')) + ".e30.e30");
}

TEST(KeySetTest, KeysThatAreWeakOrForSomethingElseAreLeftOut) {
  const auto size = [](const json& key) {
    return KeySet::parse(json{{"keys", {key}}}.dump()).value().size();
  };
  EXPECT_EQ(size(rsa().published("r")), 1U);
  EXPECT_EQ(size(Signer::rsa(1024).published("weak")), 0U);
  json key = rsa().published("r");
  key["use"] = "enc";
  EXPECT_EQ(size(key), 0U);
  key = rsa().published("r");
  key["alg"] = "RS384";
  EXPECT_EQ(size(key), 0U);
  key["alg"] = "RS512";
  EXPECT_EQ(size(key), 1U);
  key["e"] = "AQ";  // one: whatever is signed is its own signature
  EXPECT_EQ(size(key), 0U);
  key = elliptic().published("e");
  key["crv"] = "P-384";
  EXPECT_EQ(size(key), 0U);
  key = elliptic().published("e");
  key["y"] = key["x"];  // no point of the curve
  EXPECT_EQ(size(key), 0U);
  EXPECT_EQ(size({{"kty", "oct"}, {"k", "c2VjcmV0"}}), 0U);
  EXPECT_EQ(size("text"), 0U);
  EXPECT_EQ(size({{"kty", 5}}), 0U);
}

TEST(KeySetTest, AKeyForOneSignatureChecksNoOther) {
  json key = rsa().published("r");
  key["alg"] = "RS512";
  const auto keys = KeySet::parse(json{{"keys", {key}}}.dump()).value();
  EXPECT_EQ(keys.find("r", Signature::rs512).size(), 1U);
  EXPECT_TRUE(keys.find("r", Signature::rs256).empty());
}

TEST(KeySetTest, ADocumentThatIsNoneIsTheIssuersFault) {
  for (const char* text : {"", "[]", "{}", R"({"keys":{}})", "<html>", "nul"}) {
    const auto keys = KeySet::parse(text);
    ASSERT_FALSE(keys.ok()) << text;
    EXPECT_EQ(keys.error().cause, Cause::unavailable);
  }
  json many = json::array();
  for (int i = 0; i < 300; ++i) many.push_back(elliptic().published(std::to_string(i)));
  EXPECT_EQ(KeySet::parse(json{{"keys", many}}.dump()).value().size(), 100U);
  // Of one id, as many as it may take to change it: each costs a check.
  const json same(20, elliptic().published("same"));
  EXPECT_EQ(KeySet::parse(json{{"keys", same}}.dump()).value().size(), 4U);
}

}  // namespace
}  // namespace scistream::auth

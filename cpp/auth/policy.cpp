#include "auth/policy.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <functional>
#include <optional>
#include <utility>

#include "base/file.hpp"
#include "base/toml.hpp"
#include "dataserver/data_server.hpp"
#include "net/url.hpp"

namespace scistream::auth {

namespace {

bool contains(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool is_plain(const std::string& text) {
  return !text.empty() && std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < ' ' || c == '\x7f';
  });
}

bool is_of_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == '_';
}

/// A rule of one that is misspelt would never fit, and deny nobody.
Status check_issuer(const std::string& issuer) {
  if (issuer.empty() || issuer == "certificate" || issuer == "own") return {};
  const auto url = net::parse_url(issuer);
  if (url) return {};
  return Error{Cause::invalid_argument,
               "an issuer is 'certificate', 'own', or the address by which it "
               "calls itself: " +
                   url.error().message};
}

/// Whether whom `earlier` fits are all that `later` could fit.
bool hides(const Who& earlier, const Who& later) {
  const bool fits_all =
      earlier.identities.empty() && earlier.groups.empty() && earlier.domains.empty();
  return fits_all && (earlier.issuer.empty() || earlier.issuer == later.issuer);
}

/// One rule being read. The first thing that is wrong stays.
class Reader {
 public:
  explicit Reader(const toml::table& table) : table_(table) {}

  Result<Rule> read() {
    Rule rule;
    text("name", rule.name);
    text("issuer", rule.who.issuer);
    texts("identity", rule.who.identities);
    texts("group", rule.who.groups);
    texts("domain", rule.who.domains);
    flag("deny", rule.deny);
    Rights& rights = rule.rights;
    flag("produce", rights.produce);
    flag("consume", rights.consume);
    flag("see_others", rights.sees);
    flag("release_others", rights.releases);
    flag("administer", rights.administers);
    number("max_connections", 1, dataserver::max_num_conn, rights.most_connections);
    number("max_rate", 1, session::max_rate_mbps, rights.most_mbps);
    number("max_sessions", 0, 1'000'000, rights.most_sessions);
    ports(rights.ports);
    targets(rights.targets);
    for (const auto& [key, value] : table_) {
      if (!contains(known_, std::string(key.str())))
        return bad_toml(value, "'" + std::string(key.str()).substr(0, 64) +
                                   "' is nothing that a rule has; see docs/security.md");
    }
    if (wrong_) return *wrong_;
    for (std::string& domain : rule.who.domains) {
      domain = lower(domain);
      if (!std::all_of(domain.begin(), domain.end(), is_of_name)) {
        return bad_toml(table_,
                        "the domain '" + domain + "' is not what comes after the @ of an address");
      }
    }
    if (Status issuer = check_issuer(rule.who.issuer); !issuer)
      return bad_toml(table_, issuer.error().message);
    const Who& who = rule.who;
    const bool names = !who.identities.empty() || !who.groups.empty() || !who.domains.empty();
    if (names && who.issuer.empty()) {
      return bad_toml(table_,
                      "a rule for an identity, a group or a domain names the issuer that says "
                      "so: anybody can run one that says the same");
    }
    return rule;
  }

 private:
  const toml::node* find(const char* key) {
    known_.emplace_back(key);
    return table_.get(key);
  }
  void fail(const toml::node& where, const char* key, const std::string& wanted) {
    if (!wrong_) wrong_ = bad_toml(where, "'" + std::string(key) + "' is " + wanted);
  }

  void text(const char* key, std::string& to) {
    const auto* node = find(key);
    if (node == nullptr) return;
    const auto* value = node->as_string();
    if (value == nullptr || !is_plain(value->get())) return fail(*node, key, "a text on one line");
    to = value->get();
  }

  /// One, or a list.
  void texts(const char* key, std::vector<std::string>& to) {
    const auto* node = find(key);
    if (node == nullptr) return;
    const auto add = [&](const toml::node& each) {
      const auto* value = each.as_string();
      if (value == nullptr || !is_plain(value->get()))
        return fail(each, key, "a text or a list of texts, each on one line and none empty");
      to.push_back(value->get());
    };
    if (const auto* list = node->as_array()) {
      for (const toml::node& each : *list) add(each);
      // Nobody is not everybody.
      if (list->empty()) fail(*node, key, "not an empty list; leave it out, or say deny = true");
    } else {
      add(*node);
    }
  }

  void flag(const char* key, bool& to) {
    const auto* node = find(key);
    if (node == nullptr) return;
    const auto* value = node->as_boolean();
    if (value == nullptr) return fail(*node, key, "true or false");
    to = value->get();
  }

  template <class Number>
  void number(const char* key, long long least, long long most, std::optional<Number>& to) {
    const auto* node = find(key);
    if (node == nullptr) return;
    const auto* value = node->as_integer();
    if (value == nullptr || value->get() < least || value->get() > most) {
      return fail(*node, key,
                  "a number from " + std::to_string(least) + " to " + std::to_string(most));
    }
    to = static_cast<Number>(value->get());
  }

  void ports(std::optional<PortRange>& to) {
    std::string range;
    text("ports", range);
    if (range.empty()) return;
    const auto parsed = parse_port_range(range);
    if (!parsed) return fail(*table_.get("ports"), "ports", parsed.error().message);
    to = *parsed;
  }

  void targets(std::vector<net::Destination>& to) {
    std::vector<std::string> all;
    texts("targets", all);
    for (const std::string& each : all) {
      auto parsed = net::parse_destination(each);
      if (!parsed) return fail(*table_.get("targets"), "targets", parsed.error().message);
      to.push_back(std::move(*parsed));
    }
  }

  const toml::table& table_;
  std::vector<std::string> known_;
  std::optional<Error> wrong_;
};

}  // namespace

bool Who::fits(const Identity& identity) const {
  if (!issuer.empty() && issuer != identity.issuer) return false;
  const auto is_named = [&](const std::string& each) {
    return each == identity.subject || contains(identity.linked, each) ||
           (!identity.email.empty() && lower(each) == lower(identity.email));
  };
  if (!identities.empty() && std::none_of(identities.begin(), identities.end(), is_named))
    return false;
  const auto is_member = [&](const std::string& each) { return contains(identity.groups, each); };
  if (!groups.empty() && std::none_of(groups.begin(), groups.end(), is_member)) return false;
  if (domains.empty()) return true;
  const auto at = identity.email.rfind('@');
  return at != std::string::npos && contains(domains, lower(identity.email.substr(at + 1)));
}

std::string in_words(const Rule& rule) {
  std::string text = rule.name.empty() ? "" : rule.name + ": ";
  const auto one_of = [&text](const char* what, const std::vector<std::string>& all) {
    if (all.empty()) return;
    text += std::string(", ") + what + " ";
    for (const std::string& each : all) text += (&each == &all.front() ? "" : " or ") + each;
  };
  const Who& who = rule.who;
  text += who.issuer.empty() ? "all whom this server knows" : "users of " + who.issuer;
  one_of("who are", who.identities);
  one_of("in group", who.groups);
  one_of("of domain", who.domains);
  if (rule.deny) return text + ": may do nothing";
  const Rights& rights = rule.rights;
  std::vector<std::string> may;
  if (rights.produce || rights.consume) {
    std::string request = "request sessions as ";
    request += !rights.consume ? "PROD" : !rights.produce ? "CONS" : "PROD and CONS";
    if (rights.ports)
      request += ", ports " + std::to_string(rights.ports->first) + "-" +
                 std::to_string(rights.ports->last);
    if (rights.most_connections)
      request += ", up to " + std::to_string(*rights.most_connections) + " listeners each";
    if (rights.most_mbps)
      request += ", with a rate of up to " + std::to_string(*rights.most_mbps) + " Mbit/s";
    if (rights.most_sessions)
      request += ", up to " + std::to_string(*rights.most_sessions) + " at a time";
    for (const net::Destination& each : rights.targets)
      request += (&each == &rights.targets.front() ? ", from applications at " : " and ") +
                 net::to_string(each);
    may.push_back(std::move(request));
  }
  if (rights.administers) {
    may.emplace_back("administer the sessions of others");
  } else {
    if (rights.releases) {
      may.emplace_back("see and release the sessions of others");
    } else if (rights.sees) {
      may.emplace_back("see the sessions of others");
    }
  }
  if (may.empty()) return text + ": may do nothing but ask what this server is";
  text += ": may ";
  for (const std::string& each : may) text += (&each == &may.front() ? "" : "; may ") + each;
  return text;
}

Policy Policy::for_all() {
  Policy policy;
  policy.rules_.emplace_back();
  return policy;
}

Result<Policy> Policy::parse(std::string_view text) {
  const auto document = parse_toml(text);
  if (!document) return document.error();
  Policy policy;
  for (const auto& [key, value] : *document) {
    const auto* rules = value.as_array();
    if (key.str() != "rule" || rules == nullptr || !rules->is_array_of_tables()) {
      return bad_toml(value, "'" + std::string(key.str()).substr(0, 64) +
                                 "' is nothing that a policy has: it is a list of [[rule]]");
    }
    for (const toml::node& each : *rules) {
      auto rule = Reader(*each.as_table()).read();
      if (!rule) return rule.error();
      for (const Rule& earlier : policy.rules_) {
        if (hides(earlier.who, rule->who))
          return bad_toml(each, "this rule is never reached: an earlier one fits whom it fits");
      }
      policy.rules_.push_back(std::move(*rule));
    }
  }
  if (policy.rules_.empty())
    return Error{Cause::invalid_argument, "there is no [[rule]]: nobody could do anything"};
  return policy;
}

Result<Policy> Policy::read(const std::filesystem::path& path) {
  const auto text = read_file(path);
  if (!text) return text.error();
  auto policy = parse(*text);
  if (!policy) {
    return Error{policy.error().cause,
                 "the policy '" + path.string() + "', " + policy.error().message};
  }
  return policy;
}

Result<Rights> Policy::rights_of(const Identity& who) const {
  const auto rule = std::find_if(rules_.begin(), rules_.end(),
                                 [&who](const Rule& each) { return each.who.fits(who); });
  if (rule != rules_.end() && !rule->deny) return rule->rights;
  const std::string name = who.name.empty() ? who.subject : who.name;
  return Error{Cause::permission_denied,
               "the policy of this facility does not let '" + name + "' of '" + who.issuer +
                   "' do anything" + (rule == rules_.end() ? "" : ", by a rule that says so") +
                   "; ask its operator"};
}

}  // namespace scistream::auth

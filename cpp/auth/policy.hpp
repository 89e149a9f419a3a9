#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "auth/identity.hpp"
#include "auth/rights.hpp"
#include "base/error.hpp"

namespace scistream::auth {

/// Whom a rule is for. What is empty is not asked for; of a list one must fit.
struct Who {
  std::string issuer;
  std::vector<std::string> identities;  ///< Subjects, linked ones as well, or verified addresses.
  std::vector<std::string> groups;
  std::vector<std::string> domains;  ///< Of verified addresses.

  [[nodiscard]] bool fits(const Identity& identity) const;
};

struct Rule {
  std::string name;
  Who who;
  bool deny = false;  ///< They may do nothing.
  Rights rights;
};

/// In one line, for people.
std::string in_words(const Rule& rule);

/// Who may do what at a facility: the first rule that fits decides, and whom none fits may do
/// nothing. Immutable; any thread.
class Policy {
 public:
  /// Of a facility without rules of its own: all whom it knows have the rights of users.
  static Policy for_all();
  /// From a TOML document (docs/security.md). `invalid_argument` says in which line what is wrong.
  static Result<Policy> parse(std::string_view text);
  static Result<Policy> read(const std::filesystem::path& path);

  /// `permission_denied` for those who may do nothing.
  [[nodiscard]] Result<Rights> rights_of(const Identity& who) const;
  [[nodiscard]] const std::vector<Rule>& rules() const noexcept { return rules_; }

 private:
  std::vector<Rule> rules_;
};

}  // namespace scistream::auth

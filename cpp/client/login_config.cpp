#include "client/login_config.hpp"

#include <cstdlib>
#include <initializer_list>
#include <utility>

#include "base/file.hpp"
#include "base/toml.hpp"
#include "client/provider.hpp"

namespace scistream::client {

namespace {

std::string name_of(const toml::key& key) { return std::string(key.str()).substr(0, 100); }

struct Member {
  const char* name;
  std::string& to;
};

/// The texts of a table, all optional, and nothing else in it.
Status read_texts(const toml::node& node, std::initializer_list<Member> members) {
  const auto* table = node.as_table();
  if (table == nullptr) return bad_toml(node, "this is a table, such as [server.\"gw1:5000\"]");
  for (const auto& [key, value] : *table) {
    const Member* known = nullptr;
    for (const Member& each : members)
      if (key.str() == each.name) known = &each;
    if (known == nullptr) {
      std::string all;
      for (const Member& each : members) all += (all.empty() ? "" : ", ") + std::string(each.name);
      return bad_toml(value, "'" + name_of(key) + "' is none of " + all);
    }
    const auto* text = value.as_string();
    if (text == nullptr || text->get().empty())
      return bad_toml(value, "'" + name_of(key) + "' is a text that is not empty");
    known->to = text->get();
  }
  return {};
}

Status read_server(const toml::key& name, const toml::node& node, LoginConfig& config) {
  const auto server = parse_endpoint(name.str());
  if (!server) return bad_toml(node, server.error().message);
  LoginConfig::Server read;
  std::string issuer = "globus";
  if (Status good = read_texts(node, {{"scope", read.scope}, {"issuer", issuer}}); !good)
    return good;
  if (read.scope.empty()) return bad_toml(node, "'" + name_of(name) + "' has no scope");
  read.issuer = issuer_of(issuer);
  config.servers[canonical_server(*server)] = std::move(read);
  return {};
}

Status read_provider(const toml::key& name, const toml::node& node, LoginConfig& config) {
  return read_texts(node, {{"client_id", config.client_ids[issuer_of(std::string(name.str()))]}});
}

Status read_workflow(const toml::node& node, LoginConfig& config) {
  LoginConfig::Workflow& workflow = config.workflow;
  std::string secret_file;
  std::string issuer = "globus";
  const Status good = read_texts(
      node,
      {{"client_id", workflow.client_id}, {"client_secret_file", secret_file}, {"issuer", issuer}});
  if (!good) return good;
  if (workflow.client_id.empty() || secret_file.empty())
    return bad_toml(node, "a workflow has a client_id and a client_secret_file");
  workflow.client_secret_file = secret_file;
  workflow.issuer = issuer_of(issuer);
  return {};
}

}  // namespace

Result<LoginConfig> LoginConfig::parse(std::string_view text) {
  const auto document = parse_toml(text);
  if (!document) return document.error();
  LoginConfig config;
  for (const auto& [key, value] : *document) {
    const bool is_workflow = key.str() == "workflow";
    if (!is_workflow && key.str() != "server" && key.str() != "provider")
      return bad_toml(value, "'" + name_of(key) + "' is none of server, provider, workflow");
    if (is_workflow) {
      if (Status good = read_workflow(value, config); !good) return good.error();
      continue;
    }
    const auto* tables = value.as_table();
    if (tables == nullptr)
      return bad_toml(value,
                      "'" + name_of(key) + "' is a table of tables, such as [server.\"gw:5000\"]");
    for (const auto& [name, each] : *tables) {
      const Status good = key.str() == "server" ? read_server(name, each, config)
                                                : read_provider(name, each, config);
      if (!good) return good.error();
    }
  }
  return config;
}

Result<LoginConfig> LoginConfig::read(const std::filesystem::path& path) {
  const auto text = read_file(path);
  if (!text && text.error().cause == Cause::not_found) return LoginConfig();
  if (!text) return text.error();
  auto config = parse(*text);
  if (!config)
    return Error{config.error().cause, "'" + path.string() + "', " + config.error().message};
  return config;
}

std::string issuer_of(const std::string& provider) {
  const std::string issuer = globus().issuer;
  return provider == "globus" || provider == issuer + "/" ? issuer : provider;
}

std::filesystem::path default_config_directory() {
  if (const char* xdg = std::getenv("XDG_CONFIG_HOME"); xdg != nullptr && *xdg != '\0')
    return std::filesystem::path(xdg) / "scistream";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return {};
  return std::filesystem::path(home) / ".config" / "scistream";
}

}  // namespace scistream::client

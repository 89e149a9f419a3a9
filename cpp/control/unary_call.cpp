#include "control/unary_call.hpp"

#include <array>
#include <cctype>
#include <chrono>

#include "base/endpoint.hpp"

namespace scistream::control {

namespace {

struct From {
  std::string host;
  bool local;
};

/// "ipv4:192.0.2.1:5000", "ipv6:[::1]:5000" with the brackets percent-encoded, "unix:/path".
From peer_of(const grpc::CallbackServerContext& context) {
  std::string peer = context.peer();
  if (peer.starts_with("unix:")) return {"", true};
  const auto colon = peer.find(':');
  peer.erase(0, colon == std::string::npos ? 0 : colon + 1);
  for (const auto& [code, character] : {std::pair{"%5B", "["}, {"%5D", "]"}, {"%25", "%"}}) {
    if (const auto at = peer.find(code); at != std::string::npos) peer.replace(at, 3, character);
  }
  const auto endpoint = parse_endpoint(peer, ZeroPort::allowed);
  if (!endpoint) return {peer, false};
  std::string host = endpoint->host;
  if (host.starts_with("::ffff:")) host.erase(0, 7);
  const bool local = is_loopback(host);
  return {std::move(host), local};
}

bool is_word(std::string_view text, std::string_view word) {
  return text.size() == word.size() &&
         std::equal(text.begin(), text.end(), word.begin(),
                    [](unsigned char a, unsigned char b) { return std::tolower(a) == b; });
}

/// Bare, as deployed clients send it, or behind `Bearer`. What they send without a token is none.
Secret token_of(const grpc::CallbackServerContext& context) {
  const auto found = context.client_metadata().find("authorization");
  if (found == context.client_metadata().end()) return {};
  std::string_view text(found->second.data(), found->second.size());
  if (const auto space = text.find(' ');
      space != std::string_view::npos && is_word(text.substr(0, space), "bearer"))
    text.remove_prefix(space + 1);
  if (text == "INVALID_TOKEN" || text == "-") return {};
  return Secret(text);
}

/// The names that stand for people and services first.
std::vector<std::string> certificate_names(const grpc::CallbackServerContext& context) {
  std::vector<std::string> names;
  const auto shown = context.auth_context();
  if (!shown || !shown->IsPeerAuthenticated()) return names;
  using Kind = std::pair<const char*, const char*>;
  constexpr std::array kinds{Kind{GRPC_PEER_URI_PROPERTY_NAME, "URI:"},
                             Kind{GRPC_PEER_EMAIL_PROPERTY_NAME, "email:"},
                             Kind{GRPC_PEER_DNS_PROPERTY_NAME, "DNS:"}};
  for (const auto& [property, prefix] : kinds) {
    for (const auto& value : shown->FindPropertyValues(property))
      names.push_back(prefix + std::string(value.data(), value.size()));
  }
  return names;
}

bool is_stranger(const auth::Permit& permit) {
  return !permit.who && !permit.principal.administers;
}

}  // namespace

std::string milliseconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

auth::Caller caller_of(const grpc::CallbackServerContext& context) {
  From from = peer_of(context);
  return {std::move(from.host), from.local, token_of(context), certificate_names(context)};
}

void pass(const Gate& gate, grpc::CallbackServerContext& context, const Asked& asked,
          std::function<void(const auth::Permit&, const Audited&)> then,
          std::function<void(grpc::Status)> refuse) {
  const auth::Caller caller = caller_of(context);
  gate.authorizer.admit(caller, {asked.rpc, asked.has_other_proof},
                        [&gate, &context, asked, host = caller.host, then = std::move(then),
                         refuse = std::move(refuse)](Result<auth::Permit> permit) {
                          const Status allowed = permit ? permit->allowed : Status(permit.error());
                          const Audited audited(gate, asked, host,
                                                permit ? *permit : auth::Permit{});
                          if (allowed) return then(*permit, audited);
                          const grpc::Status status = to_grpc(allowed);
                          audited.ends(status);
                          const auth::LoginHint hint = gate.authorizer.login_hint();
                          if (!hint.issuer.empty())
                            context.AddTrailingMetadata(issuer_header, hint.issuer);
                          if (!hint.scope.empty())
                            context.AddTrailingMetadata(scope_header, hint.scope);
                          refuse(status);
                        });
}

Audited::Audited(const Gate& gate, Asked asked, std::string from, const auth::Permit& permit)
    : gate_(&gate),
      asked_(std::move(asked)),
      from_(std::move(from)),
      who_(permit.who),
      is_stranger_(is_stranger(permit)) {}

auth::AuditEntry Audited::entry() const {
  auth::AuditEntry entry;
  entry.rpc = asked_.rpc;
  entry.session = asked_.session;
  entry.from = from_;
  entry.who = who_ ? &*who_ : nullptr;
  entry.is_stranger = is_stranger_;
  entry.targets = asked_.targets;
  return entry;
}

void Audited::waits() const {
  auth::AuditEntry admitted = entry();
  admitted.decision = auth::AuditEntry::Decision::admitted;
  gate_->audit.record(admitted);
}

void Audited::ends(const grpc::Status& status) const {
  auth::AuditEntry ended = entry();
  // What failed for another reason was allowed. That a provider is away is a refusal.
  switch (status.error_code()) {
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
    case grpc::StatusCode::UNAVAILABLE: break;
    default: ended.decision = auth::AuditEntry::Decision::allowed;
  }
  if (!status.ok()) ended.why = status.error_message();
  gate_->audit.record(ended);
}

}  // namespace scistream::control

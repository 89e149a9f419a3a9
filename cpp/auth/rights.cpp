#include "auth/rights.hpp"

#include <algorithm>
#include <string>

namespace scistream::auth {

namespace {

Status denied(const std::string& why) {
  return Error{Cause::permission_denied, "you may not " + why};
}

}  // namespace

Status admit(const Rights& rights, session::Request& request) {
  const bool producer = request.key.role == Role::producer;
  if (!(producer ? rights.produce : rights.consume))
    return denied("request sessions as " + std::string(to_string(request.key.role)) + " here");
  if (rights.most_connections && request.num_conn > *rights.most_connections) {
    return denied("have " + std::to_string(request.num_conn) + " listeners in one session, only " +
                  std::to_string(*rights.most_connections) + " (--num-conn)");
  }
  if (const Status rate = admit(rights, request.rate); !rate) return rate;
  request.ports = rights.ports;
  return {};
}

Status admit(const Rights& rights, session::Rate& rate) {
  if (!rights.most_mbps) return {};
  // Best effort has no end.
  if (rate.mbps == 0 || rate.mbps > *rights.most_mbps) {
    return denied("have " +
                  (rate.mbps == 0 ? std::string("a session without a rate")
                                  : std::to_string(rate.mbps) + " Mbit/s") +
                  ": ask for at most " + std::to_string(*rights.most_mbps) + " Mbit/s (--rate)");
  }
  rate.is_explicit = true;
  return {};
}

session::Principal principal_of(const Identity& who, const Rights& rights) {
  session::Principal principal;
  // An issuer, which comes first, has no line's end in it.
  principal.id = who.issuer + "\n" + who.subject;
  principal.sees = rights.sees;
  principal.releases = rights.releases;
  principal.administers = rights.administers;
  if (rights.most_sessions) principal.most_sessions = *rights.most_sessions;
  principal.targets = rights.targets;
  return principal;
}

}  // namespace scistream::auth

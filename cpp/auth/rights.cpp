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
  if (rights.most_mbps) {
    // Best effort has no end.
    if (request.rate.mbps == 0 || request.rate.mbps > *rights.most_mbps) {
      return denied("have " +
                    (request.rate.mbps == 0 ? std::string("a session without a rate")
                                            : std::to_string(request.rate.mbps) + " Mbit/s") +
                    ": ask for at most " + std::to_string(*rights.most_mbps) + " Mbit/s (--rate)");
    }
    // As a cap at the least, which it is then where there is no capacity to lease from, too.
    request.rate.is_explicit = true;
  }
  request.ports = rights.ports;
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

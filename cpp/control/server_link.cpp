#include "control/server_link.hpp"

#include <thread>
#include <utility>

#include "control/credentials.hpp"
#include "control/unary_call.hpp"
#include "net/probe.hpp"

namespace scistream::control {

ServerLink::ServerLink(Scheduler& scheduler, ServerAccess access)
    : scheduler(scheduler),
      access(std::move(access)),
      stub(Control::NewStub(make_channel(
          to_string(this->access.endpoint),
          channel_credentials(this->access.tls, {"", "", this->access.roots}), false))) {}

void ServerLink::authorize(grpc::ClientContext& context) const {
  if (!access.token.empty()) context.AddMetadata("authorization", access.token);
}

void ServerLink::note(const grpc::ClientContext& context) {
  if (context.GetServerInitialMetadata().contains(version_header)) ours = reached = true;
}

void ServerLink::close() {
  open->close();
  // gRPC joins its callback threads when its last channel goes: here, never on one of them.
  stub.reset();
}

void ServerLink::diagnose(std::function<void(Status)> done) {
  if (!open->enter()) return done(Error{Cause::cancelled, "the client is going away"});
  std::thread([self = shared_from_this(), done = std::move(done)] {
    Status verdict = net::probe_server(self->access.endpoint, self->access.tls, self->access.roots);
    self->scheduler.post([done, verdict = std::move(verdict)] { done(verdict); });
    self->open->leave();
  }).detach();
}

}  // namespace scistream::control

#include "control/server_link.hpp"

#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "control/credentials.hpp"
#include "control/unary_call.hpp"
#include "net/certificate.hpp"
#include "net/probe.hpp"

namespace scistream::control {

namespace {

constexpr std::chrono::seconds identify_limit{2};

/// A server that shows another certificate than the one that is pinned.
Error changed_certificate(const ServerAccess& access, const Error& otherwise) {
  const auto pinned = net::fingerprint(access.roots);
  if (!pinned) return {Cause::unauthenticated, access.roots};  // which is why there is none
  const auto shown = net::certificate_of(access.endpoint);
  const auto print = shown ? net::fingerprint(*shown) : Result<std::string>(shown.error());
  if (!print || *pinned == *print) return otherwise;
  const std::string server = to_string(access.endpoint);
  return {Cause::unauthenticated,
          "the certificate of " + server + " has changed: SHA-256 " + *pinned +
              " is pinned, it shows " + *print +
              ". Somebody may be in between. If its facility says that the new one is its own, "
              "say s2uc trust --replace " +
              server};
}

}  // namespace

ServerLink::ServerLink(Scheduler& scheduler, ServerAccess access)
    : scheduler(scheduler),
      access(std::move(access)),
      stub(Control::NewStub(make_channel(
          to_string(this->access.endpoint),
          channel_credentials(this->access.tls, {"", "", this->access.roots}), false))) {}

void ServerLink::authorize(grpc::ClientContext& context) const {
  if (!access.token.empty()) context.AddMetadata("authorization", access.token);
}

bool ServerLink::note(const grpc::ClientContext& context) {
  const auto& said = context.GetServerInitialMetadata();
  if (said.contains(version_header)) ours = reached = true;
  return !said.empty();
}

void ServerLink::identify(std::function<void()> done) {
  struct Question {
    explicit Question(std::shared_ptr<OpenCalls> open) : context(std::in_place, std::move(open)) {}
    std::optional<OpenContext> context;
    InfoRequest request;
    scistream::ServerInfo answer;
  };
  const auto question = std::make_shared<Question>(open);
  if (!*question->context) return scheduler.post(std::move(done));
  grpc::ClientContext& context = **question->context;
  context.set_deadline(std::chrono::system_clock::now() + identify_limit);
  context.set_wait_for_ready(true);  // the channel may be about to connect again
  authorize(context);
  stub->async()->info(&context, &question->request, &question->answer,
                      [self = shared_from_this(), question, done](const grpc::Status&) {
                        self->note(**question->context);
                        self->scheduler.post(done);
                        question->context.reset();
                      });
}

void ServerLink::close() {
  open->close();
  // gRPC joins its callback threads when its last channel goes: here, never on one of them.
  stub.reset();
}

void ServerLink::diagnose(std::function<void(Status)> done) {
  if (!open->enter()) return done(Error{Cause::cancelled, "the client is going away"});
  try {
    std::thread([self = shared_from_this(), done]() mutable {
      Status verdict =
          net::probe_server(self->access.endpoint, self->access.tls, self->access.roots);
      if (!verdict && verdict.error().cause == Cause::unauthenticated && self->access.pinned)
        verdict = changed_certificate(self->access, verdict.error());
      self->scheduler.post(
          [done = std::move(done), verdict = std::move(verdict)] { done(verdict); });
      // Nothing of this thread may need the scheduler once its owner need not wait for it.
      const auto calls = self->open;
      self.reset();
      calls->leave();
    }).detach();
  } catch (const std::system_error& no_thread) {
    open->leave();
    done(Error{Cause::exhausted, std::string("cannot look into it: ") + no_thread.what()});
  }
}

}  // namespace scistream::control

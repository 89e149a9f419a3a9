#include "control/server_link.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "control/credentials.hpp"
#include "control/headers.hpp"
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
          channel_credentials(this->access.tls,
                              {this->access.certificate, this->access.key, this->access.roots}),
          false))) {}

void ServerLink::ask_token(std::function<void()> then) {
  if (!access.token) return then();
  access.token([self = shared_from_this(), then = std::move(then)](Result<Secret> token) {
    const bool is_in_clear = token && !token->empty() && !self->access.tls;
    if (is_in_clear && !is_loopback(self->access.endpoint.host)) {
      token = Error{Cause::invalid_argument,
                    "an access token does not travel over plaintext off this machine; leave "
                    "--ssl=False out"};
    }
    {
      const std::lock_guard lock(self->token_mutex_);
      self->token_ = std::move(token);
    }
    self->scheduler.post(then);
  });
}

Status ServerLink::authorize(grpc::ClientContext& context) const {
  const std::lock_guard lock(token_mutex_);
  if (!token_) return token_.error();
  if (!token_->empty()) context.AddMetadata("authorization", std::string(token_->view()));
  return {};
}

LoginHint ServerLink::login_hint() const {
  const std::lock_guard lock(token_mutex_);
  return login_hint_;
}

Error ServerLink::refusal(const grpc::ClientContext& context, Error error) {
  if (error.cause != Cause::unauthenticated && error.cause != Cause::permission_denied)
    return error;
  const auto& said = context.GetServerTrailingMetadata();
  const auto find = [&said](const char* name) {
    const auto found = said.find(name);
    if (found == said.end()) return std::string();
    std::string text(found->second.data(), found->second.size());
    constexpr std::size_t longest = 300;
    // Whoever copies it into a shell runs nothing else.
    const bool is_plain =
        text.size() <= longest && std::all_of(text.begin(), text.end(), [](char c) {
          return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                 std::string_view("-._~:/?=@+,").find(c) != std::string_view::npos;
        });
    return is_plain ? text : std::string();
  };
  const std::string issuer = find(issuer_header);
  const std::string scope = find(scope_header);
  if (issuer.empty()) return error;
  {
    const std::lock_guard lock(token_mutex_);
    login_hint_ = {issuer, scope};
  }
  error.message += " [s2uc login --provider " + issuer +
                   (scope.empty() ? std::string() : " --scope " + scope) + " --s2cs " +
                   to_string(access.endpoint) + "]";
  return error;
}

bool ServerLink::note(const grpc::ClientContext& context) {
  const auto& said = context.GetServerInitialMetadata();
  if (said.contains(version_header)) ours = reached = true;
  if (const auto time = said.find(time_header); time != said.end()) {
    std::int64_t theirs = 0;
    const char* const end = time->second.data() + time->second.size();
    const auto [rest, error] = std::from_chars(time->second.data(), end, theirs);
    constexpr std::int64_t latest = 9'000'000'000'000;
    if (error == std::errc() && rest == end && theirs >= 0 && theirs < latest) {
      const auto ours_now = std::chrono::system_clock::now().time_since_epoch();
      clock_ahead =
          theirs - std::chrono::duration_cast<std::chrono::milliseconds>(ours_now).count();
    }
  }
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
  (void)authorize(context);
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
          net::probe_server(self->access.endpoint, self->access.tls, self->access.roots,
                            {self->access.certificate, self->access.key});
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

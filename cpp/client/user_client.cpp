#include "client/user_client.hpp"

#include <algorithm>
#include <utility>

#include "base/file.hpp"
#include "base/wait_for.hpp"
#include "client/ask_all.hpp"
#include "client/named.hpp"
#include "client/pins.hpp"
#include "client/session_keys.hpp"
#include "client/trust.hpp"

namespace scistream::client {

namespace {

/// What a run ends with, which an interrupt cancels.
template <class T, class Run>
Result<T> finished(Run& run, typename Run::Observe observe, Interrupt* interrupt) {
  if (interrupt != nullptr) interrupt->set([keep = run.shared_from_this()] { keep->cancel(); });
  auto result = wait_for<T>([&](auto done) { run.start(std::move(observe), done); });
  if (interrupt != nullptr) interrupt->clear();
  return result;
}

/// One server's events of one session, over connections that break and come back.
class Watching final : public control::Call, public std::enable_shared_from_this<Watching> {
 public:
  Watching(control::ControlClient& client, std::string uid, std::chrono::milliseconds period,
           std::function<void(const session::SessionEvent&)> observe,
           std::function<void(const Status&)> done)
      : client_(client),
        uid_(std::move(uid)),
        period_(period),
        observe_(std::move(observe)),
        done_(std::move(done)) {}

  void open() {
    // It may have ended since it was asked about.
    const auto present = control::Present::only;
    keep(client_.watch({uid_}, period_, present, observe_,
                       [self = shared_from_this()](const Status& end) {
                         if (end || end.error().cause != Cause::unavailable)
                           return self->done_(end);
                         self->look();
                       }));
  }

  void cancel() override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (call_) call_->cancel();
  }

 private:
  /// Repeated for some seconds by the client itself, so the answer tells whether to go on.
  void look() {
    keep(client_.status(uid_, session::Detail::session,
                        [self = shared_from_this()](const auto& views) {
                          if (views) return self->open();
                          const Cause cause = views.error().cause;
                          if (cause == Cause::not_found)
                            return self->done_({});  // it ended meanwhile
                          self->done_(views.error());
                        }));
  }

  void keep(control::ControlClient::Handle call) {
    const std::lock_guard lock(mutex_);
    call_ = std::move(call);
    if (cancelled_) call_->cancel();
  }

  control::ControlClient& client_;
  const std::string uid_;
  const std::chrono::milliseconds period_;
  const std::function<void(const session::SessionEvent&)> observe_;
  const std::function<void(const Status&)> done_;
  std::mutex mutex_;
  bool cancelled_ = false;
  control::ControlClient::Handle call_;
};

}  // namespace

void merge(std::vector<session::SessionView>& views,
           const std::vector<session::SessionView>& more) {
  for (const session::SessionView& view : more) {
    const bool known = std::any_of(views.begin(), views.end(), [&view](const auto& other) {
      return other.key == view.key && other.listeners == view.listeners;
    });
    if (!known) views.push_back(view);
  }
}

UserClient::UserClient(ClientOptions options)
    : options_(std::move(options)), book_(options_.state_directory) {}

UserClient::~UserClient() {
  {
    const std::lock_guard lock(mutex_);
    clients_.clear();
    retired_.clear();
  }
  logins_.stop();
  scheduler_.stop();
}

control::ServerAccess UserClient::access_to(const Endpoint& server) const {
  control::ServerAccess access{server, options_.tls, options_.roots};
  if (!options_.tls || !options_.use_pins) return access;
  const auto pin = Pins(options_.state_directory).find(server);
  if (pin && !*pin) return access;
  access.pinned = true;
  // One that cannot be read trusts nobody, and says why; no text at all would be everybody.
  access.roots = pin ? **pin : pin.error().message;
  return access;
}

Result<Secret> UserClient::token_for(const Endpoint& server) const {
  auto token = !options_.token.empty() ? Result<Secret>(Secret(std::string_view(options_.token)))
               : options_.tokens       ? options_.tokens->token_for(server, options_.scope)
                                       : Result<Secret>(Secret());
  // It goes into a header, where gRPC takes nothing else, and ends the process.
  if (token && !token->empty() && !is_one_word(token->view()))
    return Error{Cause::invalid_argument, "the access token is not one word of printable ASCII"};
  return token;
}

Result<net::CertificateAndKey> UserClient::own_certificate() {
  if (options_.certificate.empty()) return net::CertificateAndKey();
  const std::lock_guard lock(own_mutex_);
  if (own_of_pipe_) return *own_of_pipe_;
  auto certificate = read_file(options_.certificate);
  if (!certificate) return certificate.error();
  auto key = read_private_file(options_.key, "key file");
  if (!key) return key.error();
  if (const Status fits = net::check_certificate(*certificate, *key); !fits) {
    wipe_bytes(key->data(), key->size());
    return Error{fits.error().cause, "'" + options_.certificate.string() + "' and '" +
                                         options_.key.string() + "': " + fits.error().message};
  }
  net::CertificateAndKey own{std::move(*certificate), std::move(*key)};
  // A pipe can be read once only; files are read every time.
  std::error_code none;
  if (std::filesystem::is_fifo(options_.key, none)) own_of_pipe_ = own;
  return own;
}

control::ControlClient& UserClient::at(const Endpoint& server) {
  auto own = own_certificate();
  const std::lock_guard lock(mutex_);
  auto& client = clients_[server];
  const bool has_another = own && client && client->access().certificate != own->certificate;
  // Calls under way go on with what they began with.
  if (has_another) retired_.push_back(std::exchange(client, nullptr));
  if (!client) {
    auto access = access_to(server);
    if (own) {
      access.certificate = std::move(own->certificate);
      access.key = std::move(own->key);
    }
    if (!own || !options_.token.empty() || options_.tokens) {
      access.token = [this, server, own = own ? Status() : Status(own.error())](auto done) {
        if (!own) return done(own.error());
        // It may have to be renewed, which takes its time.
        logins_.post([this, server, done = std::move(done)] { done(token_for(server)); });
      };
    }
    client = std::make_unique<control::ControlClient>(scheduler_, std::move(access));
  }
  return *client;
}

Result<SessionResult> UserClient::request(const Endpoint& prod, const Endpoint& cons,
                                          SessionRequest request, SessionRun::Observe observe,
                                          Interrupt* interrupt) {
  if (request.uid.empty()) request.uid = random_uid();
  const std::string& transport = request.transport;
  if (transport != "auto" && transport != "tls" && transport != "tcp") {
    return Error{Cause::invalid_argument,
                 "transport '" + transport + "' is not one of: auto, tls, tcp"};
  }
  if (transport != "tcp") {
    if (auto allowed = keys_may_travel(options_.tls, prod, cons); !allowed) return allowed.error();
  }
  BookEntry entry = BookEntry::of_now(request.uid);
  entry.prod = to_string(prod);
  entry.cons = to_string(cons);
  return remembered<SessionResult>(entry, [&] {
    const auto run =
        std::make_shared<SessionRun>(scheduler_, at(prod), at(cons), std::move(request));
    return finished<SessionResult>(*run, std::move(observe), interrupt);
  });
}

Result<HalfResult> UserClient::request_half(const Endpoint& server, HalfRequest request,
                                            HalfSession::Observe observe, Interrupt* interrupt,
                                            HalfStep* failed_at) {
  BookEntry entry = BookEntry::of_now(request.uid);
  // The other half may have been requested from here as well.
  if (auto present = book_.find(request.uid)) {
    present->asked = entry.asked;
    entry = std::move(*present);
  }
  (request.role == Role::producer ? entry.prod : entry.cons) = to_string(server);
  return remembered<HalfResult>(entry, [&] {
    const auto run = std::make_shared<HalfSession>(scheduler_, at(server), std::move(request));
    auto result = finished<HalfResult>(*run, std::move(observe), interrupt);
    if (failed_at != nullptr) *failed_at = run->failed_at();
    return result;
  });
}

template <class T, class SetUp>
Result<T> UserClient::remembered(const BookEntry& entry, SetUp set_up) {
  if (options_.state_directory.empty()) return set_up();
  // Before anything is reserved: a client that dies now must not leave a session it cannot name.
  const auto ours = book_.claim(entry);
  if (!ours) return ours.error();
  if (!*ours) book_.touch(entry.uid);
  auto result = set_up();
  if (result && !*ours) (void)book_.remember(entry);
  if (!result && *ours) book_.forget(entry.uid);
  return result;
}

Status UserClient::release(const std::string& uid, const std::vector<Endpoint>& servers) {
  if (auto status = check_uid(uid); !status) return status;
  return ended(uid, servers,
               ask_all<void>(servers, nullptr, [&](const Endpoint& server, auto done) {
                 return at(server).release(uid, "", done);
               }));
}

Status UserClient::drain(const std::string& uid, const std::vector<Endpoint>& servers,
                         Interrupt* interrupt) {
  if (auto status = check_uid(uid); !status) return status;
  return ended(uid, servers,
               ask_all<void>(servers, interrupt, [&](const Endpoint& server, auto done) {
                 return at(server).drain(uid, done);
               }));
}

Result<bool> UserClient::set_rate(const std::string& uid, long long mbps,
                                  const std::vector<Endpoint>& servers) {
  if (auto status = check_uid(uid); !status) return status.error();
  const session::Rate rate{mbps, true};
  if (auto status = session::validate(rate); !status) return status.error();
  const auto answers = ask_all<session::RateInForce>(
      servers, nullptr,
      [&](const Endpoint& server, auto done) { return at(server).set_rate(uid, rate, done); });
  const auto failed =
      std::find_if(answers.begin(), answers.end(), [](const auto& answer) { return !answer; });
  if (failed == answers.end()) {
    return std::all_of(answers.begin(), answers.end(),
                       [](const auto& answer) { return answer->is_leased; });
  }
  for (std::size_t i = 0; i < servers.size(); ++i) {
    if (!answers[i]) continue;
    (void)wait_for<session::RateInForce>(
        [&](auto done) { at(servers[i]).set_rate(uid, answers[i]->previous, done); });
  }
  Error why = named(servers[static_cast<std::size_t>(failed - answers.begin())], failed->error());
  if (why.cause == Cause::timeout || why.cause == Cause::unavailable)
    why.message += "; it may have taken the rate, or take it yet: say it again once it answers";
  return why;
}

Status UserClient::ended(const std::string& uid, const std::vector<Endpoint>& servers,
                         const std::vector<Status>& answers) {
  // A server that refuses matters more than one that is away.
  const auto weight = [](const Status& answer) {
    if (answer) return 0;
    const Cause cause = answer.error().cause;
    if (cause == Cause::not_found) return 1;
    return cause == Cause::unavailable || cause == Cause::timeout ? 2 : 3;
  };
  Status worst;
  bool somebody_knew = false;
  for (const Status& answer : answers) {
    somebody_knew = somebody_knew || weight(answer) != 1;
    if (weight(answer) > weight(worst)) worst = answer;
  }
  // One facility that has forgotten it does not make the release of the other a failure.
  if (weight(worst) == 1 && somebody_knew) worst = {};
  if (weight(worst) < 2 && is_nowhere_else(uid, servers, worst.ok())) forget(uid);
  return worst;
}

bool UserClient::is_nowhere_else(const std::string& uid, const std::vector<Endpoint>& servers,
                                 bool is_theirs) {
  auto others = servers_of(uid);
  if (!others) return is_theirs;
  std::erase_if(*others, [&](const Endpoint& server) {
    return std::find(servers.begin(), servers.end(), server) != servers.end();
  });
  if (others->empty()) return true;
  // They may be the same ones by another name, or have been released before.
  if (!is_theirs) return false;
  const auto there = status(uid, *others);
  return !there && there.error().cause == Cause::not_found;
}

void UserClient::forget(const std::string& uid) const {
  if (options_.state_directory.empty()) return;
  book_.forget(uid);
  forget_session_keys(options_.state_directory, uid);
}

Result<std::vector<session::SessionView>> UserClient::status(const std::string& uid,
                                                             const std::vector<Endpoint>& servers,
                                                             session::Detail detail, Silent* silent,
                                                             Interrupt* interrupt) {
  if (auto status = check_uid(uid); !status) return status.error();
  using Views = std::vector<session::SessionView>;
  const auto answers = ask_all<Views>(servers, interrupt, [&](const Endpoint& server, auto done) {
    return at(server).status(uid, detail, done);
  });
  Views all;
  Error error{Cause::not_found, "no session has the id " + uid};
  for (std::size_t i = 0; i < servers.size(); ++i) {
    if (answers[i]) {
      merge(all, *answers[i]);
    } else if (answers[i].error().cause != Cause::not_found) {
      error = answers[i].error();
      if (silent != nullptr) silent->emplace_back(servers[i], error);
    }
  }
  if (all.empty()) return error;
  return all;
}

Result<control::ServerInfo> UserClient::info(const Endpoint& server, Interrupt* interrupt) {
  return ask_all<control::ServerInfo>(
             std::vector{server}, interrupt,
             [&](const Endpoint&, auto done) { return at(server).info(done); })
      .front();
}

Status UserClient::watch(const std::string& uid, const std::vector<Endpoint>& servers,
                         std::chrono::milliseconds period,
                         std::function<void(const session::SessionEvent&)> observe, Lost lost,
                         Interrupt* interrupt) {
  if (auto status = check_uid(uid); !status) return status;
  // A watch that nothing answers would wait for ever: find out first that the session is there.
  if (auto present = status(uid, servers, session::Detail::session, nullptr, interrupt); !present)
    return present.error();
  const auto answers = ask_all<void>(servers, interrupt, [&](const Endpoint& server, auto done) {
    const auto watching = std::make_shared<Watching>(
        at(server), uid, period, observe, [server, lost, done](const Status& end) {
          if (lost && !end && end.error().cause != Cause::cancelled) lost(server, end.error());
          done(end);
        });
    watching->open();
    return watching;
  });
  for (const Status& answer : answers) {
    if (!answer && answer.error().cause != Cause::not_found) return answer;
  }
  return {};
}

Result<std::vector<Endpoint>> UserClient::servers_of(const std::string& uid) const {
  const auto entry = book_.find(uid);
  if (!entry) return entry.error();
  return entry->servers();
}

}  // namespace scistream::client

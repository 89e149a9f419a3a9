#include "control/control_service.hpp"

#include <algorithm>
#include <set>

#include "control/event_stream.hpp"
#include "control/unary_call.hpp"
#include "control/wire.hpp"
#include "scistream/version.hpp"

namespace scistream::control {

namespace {

constexpr int most_uids = 10'000;
constexpr std::chrono::milliseconds shortest_period{100};

void set_state(Response* response, session::State state) {
  response->set_state(std::string(to_string(state)));
}

template <class List>
void add_all(const std::vector<std::string>& from, List* to) {
  to->Add(from.begin(), from.end());
}

/// Before it may have to wait: only what can be a proof takes room.
Status check_proof(const Hello& hello) {
  constexpr std::size_t longest_proof = 32;
  constexpr std::size_t longest_nonce = 64;
  if (hello.proof().size() <= longest_proof && hello.nonce().size() <= longest_nonce) return {};
  return Error{Cause::unauthenticated,
               "a hello has a nonce of 16 to 64 characters and a proof of 32 bytes"};
}

/// Ends a watch when the last of its sessions is gone.
class WatchedSessions {
 public:
  /// False once every session seen has gone.
  bool note(const session::SessionEvent& event) {
    if (event.kind == session::SessionEvent::Kind::gone) {
      present_.erase(event.session.key);
      return !present_.empty();
    }
    present_.insert(event.session.key);
    return true;
  }

 private:
  std::set<SessionKey> present_;
};

}  // namespace

Status ControlService::check_key_channel(const auth::Caller& caller, bool carries_key) const {
  if (!carries_key || facts_.encrypted || caller.local) return {};
  return Error{Cause::failed_precondition,
               "a key may not cross this plaintext channel; use TLS, or a session without keys"};
}

grpc::ServerUnaryReactor* ControlService::req(grpc::CallbackServerContext* context,
                                              const Request* request, Response* response) {
  return serve(
      gate_, *context, {"req", request->uid()},
      [this, context, request, response](UnaryCall* call, const auth::Permit& permit) {
        auto wanted = from_wire(*request);
        if (!wanted) return call->finish(to_grpc(wanted.error()));
        const auth::Caller caller = caller_of(*context);
        if (const auto status = check_key_channel(caller, !wanted->app_key.empty()); !status) {
          return call->finish(to_grpc(status));
        }
        wanted->caller_host = caller.host;
        if (const auto status = auth::admit(permit.rights, *wanted); !status)
          return call->finish(to_grpc(status));
        call->greet_and_wait();
        const auto cancel = call->cancel();
        const session::Ticket ticket =
            manager_.request(std::move(*wanted), permit.principal,
                             [call, response](Result<session::RequestAnswer> answer) {
                               if (!answer) return call->finish(to_grpc(answer.error()));
                               add_all(answer->listeners, response->mutable_listeners());
                               add_all(answer->prod_listeners, response->mutable_prod_listeners());
                               set_state(response, answer->state);
                               response->set_transport(answer->transport);
                               response->set_protocol(answer->protocol);
                               response->set_proxy_protocol(answer->proxy_protocol);
                               call->finish(grpc::Status::OK);
                             });
        cancel->set([this, ticket] { manager_.withdraw(ticket); });
      });
}

grpc::ServerUnaryReactor* ControlService::update(grpc::CallbackServerContext* context,
                                                 const UpdateTargets* request, Response* response) {
  return serve(
      gate_, *context,
      {"update",
       request->uid(),
       false,
       {request->remote_listeners().begin(), request->remote_listeners().end()}},
      [this, context, request, response](UnaryCall* call, const auth::Permit& permit) {
        auto update = from_wire(*request);
        if (!update) return call->finish(to_grpc(update.error()));
        if (const auto status = check_key_channel(caller_of(*context), !update->data_key.empty());
            !status) {
          return call->finish(to_grpc(status));
        }
        manager_.update(std::move(*update), permit.principal,
                        [call, response](Result<session::UpdateAnswer> answer) {
                          if (!answer) return call->finish(to_grpc(answer.error()));
                          add_all(answer->listeners, response->mutable_listeners());
                          add_all(answer->targets, response->mutable_prod_listeners());
                          set_state(response, answer->state);
                          response->set_transport(answer->transport);
                          response->set_protocol(answer->protocol);
                          call->finish(grpc::Status::OK);
                        });
      });
}

grpc::ServerUnaryReactor* ControlService::release(grpc::CallbackServerContext* context,
                                                  const Release* request, Response*) {
  return serve(gate_, *context, {"release", request->uid()},
               [this, request](UnaryCall* call, const auth::Permit& permit) {
                 call->greet();
                 const auto how =
                     request->drain() ? dataserver::Ending::drain : dataserver::Ending::cut;
                 const auto cancel = call->cancel();
                 const session::Ticket ticket = manager_.release(
                     request->uid(), request->claim(), how, permit.principal,
                     [call](const Status& status) { call->finish(to_grpc(status)); });
                 cancel->set([this, ticket] { manager_.withdraw(ticket); });
               });
}

grpc::ServerUnaryReactor* ControlService::hello(grpc::CallbackServerContext* context,
                                                const Hello* request, AppResponse* response) {
  return serve(gate_, *context, {"hello", request->uid(), !request->proof().empty()},
               [this, context, request, response](UnaryCall* call, const auth::Permit& permit) {
                 for (const Status& good : {check_uid(request->uid()), check_proof(*request)})
                   if (!good) return call->finish(to_grpc(good));
                 auto hello = from_wire(*request);
                 hello.caller_host = caller_of(*context).host;
                 call->greet_and_wait();
                 manager_.hello(std::move(hello), permit.principal,
                                [call, response](Result<session::HelloAnswer> answer) {
                                  if (!answer) return call->finish(to_grpc(answer.error()));
                                  response->set_message(answer->message);
                                  add_all(answer->listeners, response->mutable_listeners());
                                  call->finish(grpc::Status::OK);
                                });
               });
}

grpc::ServerUnaryReactor* ControlService::rate(grpc::CallbackServerContext* context,
                                               const RateChange* request, RateInForce* response) {
  return serve(
      gate_, *context, {"rate", request->uid()},
      [this, request, response](UnaryCall* call, const auth::Permit& permit) {
        const auto mbps = std::min<std::uint64_t>(request->rate_mbps(), INT64_MAX);
        session::Rate rate{static_cast<long long>(mbps), request->is_explicit()};
        if (const auto status = auth::admit(permit.rights, rate); !status)
          return call->finish(to_grpc(status));
        manager_.set_rate(
            request->uid(), rate, permit.principal,
            [call, response](Result<session::RateInForce> answer) {
              if (!answer) return call->finish(to_grpc(answer.error()));
              response->set_is_leased(answer->is_leased);
              response->set_previous_mbps(static_cast<std::uint64_t>(answer->previous.mbps));
              response->set_previous_was_explicit(answer->previous.is_explicit);
              call->finish(grpc::Status::OK);
            });
      });
}

grpc::ServerUnaryReactor* ControlService::info(grpc::CallbackServerContext* context,
                                               const InfoRequest*, ServerInfo* response) {
  return serve(gate_, *context, {"info"}, [this, response](UnaryCall* call, const auth::Permit&) {
    manager_.capacity([this, call, response](Result<session::Capacity> capacity) {
      if (!capacity) return call->finish(to_grpc(capacity.error()));
      response->set_version(std::string(version()));
      response->set_product("scistream");
      response->add_data_server_kinds(facts_.data_server.kind);
      response->set_data_server_version(facts_.data_server.version);
      add_all(facts_.data_server.transports, response->mutable_transports());
      response->set_login_issuer(facts_.login.issuer);
      response->set_login_scope(facts_.login.scope);
      response->set_ports_total(static_cast<std::uint32_t>(capacity->ports_total));
      response->set_ports_free(static_cast<std::uint32_t>(capacity->ports_free));
      response->set_capacity_mbps(capacity->mbps);
      response->set_capacity_free_mbps(capacity->mbps_free);
      response->set_sessions(capacity->sessions);
      call->finish(grpc::Status::OK);
    });
  });
}

grpc::ServerUnaryReactor* ControlService::status(grpc::CallbackServerContext* context,
                                                 const StatusRequest* request,
                                                 SessionList* response) {
  return serve(
      gate_, *context, {"status", request->uid()},
      [this, request, response](UnaryCall* call, const auth::Permit& permit) {
        if (const auto good = check_uid(request->uid()); !good) return call->finish(to_grpc(good));
        const std::string& uid = request->uid();
        const auto detail =
            request->connections() ? session::Detail::connections : session::Detail::session;
        manager_.show(
            uid, detail, permit.principal,
            [call, response, uid](Result<std::vector<session::SessionView>> views) {
              if (!views) return call->finish(to_grpc(views.error()));
              if (views->empty())
                return call->finish({grpc::StatusCode::NOT_FOUND, "no session has the id " + uid});
              for (const auto& view : *views) to_wire(view, response->add_sessions());
              call->finish(grpc::Status::OK);
            });
      });
}

grpc::ServerUnaryReactor* ControlService::list(grpc::CallbackServerContext* context,
                                               const ListRequest* request, SessionList* response) {
  return serve(gate_, *context, {"list"},
               [this, request, response](UnaryCall* call, const auth::Permit& permit) {
                 if (request->uids_size() > most_uids) {
                   return call->finish({grpc::StatusCode::INVALID_ARGUMENT,
                                        "list names " + std::to_string(request->uids_size()) +
                                            " ids; at most " + std::to_string(most_uids)});
                 }
                 manager_.list({request->uids().begin(), request->uids().end()}, permit.principal,
                               [call, response](Result<std::vector<session::SessionView>> views) {
                                 if (!views) return call->finish(to_grpc(views.error()));
                                 for (const auto& view : *views)
                                   to_wire(view, response->add_sessions());
                                 call->finish(grpc::Status::OK);
                               });
               });
}

grpc::ServerWriteReactor<SessionEvent>* ControlService::watch(grpc::CallbackServerContext* context,
                                                              const WatchRequest* request) {
  auto stream = std::make_shared<EventStream<SessionEvent>>();
  stream->hold();
  auto* reactor = stream->start();
  const bool is_one = request->uids_size() == 1;
  pass(
      gate_, *context, {"watch", is_one ? request->uids(0) : std::string()},
      [this, stream, request](const auth::Permit& permit, const Audited& audited) {
        const grpc::Status begun = begin_watch(stream, *request, permit);
        audited.ends(begun);
        if (!begun.ok()) stream->close(begun);
        stream->decide();
      },
      [stream](const grpc::Status& status) {
        stream->close(status);
        stream->decide();
      });
  return reactor;
}

grpc::Status ControlService::begin_watch(const std::shared_ptr<EventStream<SessionEvent>>& stream,
                                         const WatchRequest& request, const auth::Permit& permit) {
  if (request.uids().empty() || request.uids_size() > most_uids) {
    return {grpc::StatusCode::INVALID_ARGUMENT,
            "a watch names 1 to " + std::to_string(most_uids) + " sessions"};
  }
  for (const std::string& uid : request.uids()) {
    if (const auto good = check_uid(uid); !good) return to_grpc(good);
  }
  std::shared_ptr<void> place;
  if (!permit.principal.id.empty()) {
    place = watches_.take(permit.principal.id);
    if (!place) {
      return {grpc::StatusCode::RESOURCE_EXHAUSTED,
              "you have " + std::to_string(most_watches) +
                  " watches open here: end one, or name more sessions in one"};
    }
  }
  std::chrono::milliseconds period(request.period_ms() == 0 ? 1000 : request.period_ms());
  if (period < shortest_period) period = shortest_period;
  auto watch = manager_.watch(
      {request.uids().begin(), request.uids().end()}, period, permit.principal,
      [weak = std::weak_ptr(stream),
       watched = std::make_shared<WatchedSessions>()](const session::SessionEvent& event) {
        const auto open = weak.lock();
        if (!open) return;
        SessionEvent message;
        message.set_kind(std::string(to_string(event.kind)));
        to_wire(event.session, message.mutable_session());
        message.set_detail(event.detail);
        open->push(std::move(message), event.kind == session::SessionEvent::Kind::counters);
        if (!watched->note(event)) open->close(grpc::Status::OK);
      },
      [weak = std::weak_ptr(stream), present = request.present()](bool any) {
        const auto open = weak.lock();
        if (open && present && !any) open->close(grpc::Status::OK);
      });
  using Both = std::pair<std::shared_ptr<void>, std::shared_ptr<void>>;
  stream->own(std::make_shared<Both>(std::move(place), std::move(watch)));
  return grpc::Status::OK;
}

}  // namespace scistream::control

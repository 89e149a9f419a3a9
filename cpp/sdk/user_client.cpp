#include "scistream/user_client.hpp"

#include <utility>

#include "client/session_options.hpp"
#include "sdk/arguments.hpp"
#include "sdk/guarded.hpp"
#include "sdk/session_impl.hpp"
#include "sdk/stopping.hpp"
#include "sdk/values.hpp"
#include "sdk/watching.hpp"

namespace scistream::inline v0 {

namespace {

/// As the client takes it, without the keys.
client::SessionRequest request_of(const SessionRequest& request) {
  client::SessionRequest wanted;
  wanted.uid = request.uid.empty() ? random_uid() : request.uid;
  wanted.num_conn = request.num_conn;
  wanted.rate = {request.rate_mbps.value_or(0), request.rate_mbps.has_value()};
  wanted.protocol = request.protocol;
  wanted.prod_app = request.prod_app;
  wanted.labels = request.labels;
  wanted.transport = request.transport;
  wanted.proxy_protocol = request.proxy_protocol;
  wanted.lifetime = request.lifetime;
  wanted.timeout = request.timeout;
  return wanted;
}

Status check(const SessionRequest& request) {
  if (auto status = sdk::check_endpoint("prod", request.prod); !status) return status;
  if (auto status = sdk::check_endpoint("cons", request.cons); !status) return status;
  for (const Endpoint& each : request.prod_app)
    if (auto status = sdk::check_endpoint("prod_app", each); !status) return status;
  if (!request.uid.empty()) {
    if (auto status = check_uid(request.uid); !status) return status;
  }
  if (auto status = client::check_protocol(request.protocol); !status) return status;
  if (auto status = sdk::check_duration("lifetime", request.lifetime); !status) return status;
  if (auto status = sdk::check_duration("timeout", request.timeout); !status) return status;
  if (request.prod_key) {
    if (auto status = sdk::check_key("prod_key", *request.prod_key); !status) return status;
  }
  return request.cons_key ? sdk::check_key("cons_key", *request.cons_key) : Status();
}

}  // namespace

/// The client, which sessions share. Any thread.
class [[gnu::visibility("hidden")]] UserClient::Impl {
 public:
  explicit Impl(client::ClientOptions options)
      : tls_(options.tls), client_(std::make_shared<client::UserClient>(std::move(options))) {}

  [[nodiscard]] bool tls() const { return tls_; }
  [[nodiscard]] const std::shared_ptr<client::UserClient>& client() const { return client_; }

  /// `work` with the client and the servers given, or those that the session was requested from.
  template <class T, class Work>
  Result<T> at(std::string_view uid, const std::vector<Endpoint>& given, Work work) {
    return sdk::guarded([&]() -> Result<T> {
      const std::string id(uid);
      if (!given.empty()) return work(*client_, id, given);
      const auto remembered = client_->servers_of(id);
      if (!remembered) return remembered.error();
      return work(*client_, id, *remembered);
    });
  }

 private:
  const bool tls_;
  const std::shared_ptr<client::UserClient> client_;
};

UserClient::UserClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
UserClient::UserClient(UserClient&& other) noexcept = default;
UserClient& UserClient::operator=(UserClient&& other) noexcept = default;
UserClient::~UserClient() = default;

Result<UserClient> UserClient::create(const ClientOptions& options) {
  return sdk::guarded([&]() -> Result<UserClient> {
    auto settled = sdk::client_options(options);
    if (!settled) return settled.error();
    return UserClient(std::make_unique<Impl>(std::move(*settled)));
  });
}

Result<Session> UserClient::request(const SessionRequest& request, std::stop_token stop) {
  auto pending = begin(request);
  if (!pending) return pending.error();
  return pending->wait({}, std::move(stop));
}

Result<PendingSession> UserClient::begin(const SessionRequest& request) {
  return sdk::guarded([&]() -> Result<PendingSession> {
    if (auto status = check(request); !status) return status.error();
    client::SessionRequest wanted = request_of(request);
    if (auto status = client::choose_app_keys(impl_->tls(), request.prod, request.cons,
                                              request.prod_key, request.cons_key, wanted);
        !status)
      return status.error();
    SessionPlace place{
        impl_->client(), wanted.uid, {request.prod}, wanted.prod_app_key, wanted.cons_app_key};
    if (request.cons != request.prod) place.servers.push_back(request.cons);
    return PendingSession(std::make_unique<PendingSession::Impl>(std::move(place), request.prod,
                                                                 request.cons, std::move(wanted)));
  });
}

Status UserClient::release(std::string_view uid, const std::vector<Endpoint>& servers) {
  return impl_->at<void>(uid, servers, [](auto& client, const auto& id, const auto& places) {
    return client.release(id, places);
  });
}

Status UserClient::drain(std::string_view uid, const std::vector<Endpoint>& servers,
                         std::stop_token stop) {
  sdk::Stopping stopping(std::move(stop));
  return impl_->at<void>(uid, servers, [&](auto& client, const auto& id, const auto& places) {
    return client.drain(id, places, stopping.interrupt());
  });
}

Result<bool> UserClient::set_rate(std::string_view uid, long long rate_mbps,
                                  const std::vector<Endpoint>& servers) {
  return impl_->at<bool>(uid, servers, [&](auto& client, const auto& id, const auto& places) {
    return client.set_rate(id, rate_mbps, places);
  });
}

Result<std::vector<SessionStatus>> UserClient::status(std::string_view uid,
                                                      const std::vector<Endpoint>& servers,
                                                      std::stop_token stop) {
  sdk::Stopping stopping(std::move(stop));
  const auto views = impl_->at<std::vector<session::SessionView>>(
      uid, servers, [&](auto& client, const auto& id, const auto& places) {
        return client.status(id, places, session::Detail::session, nullptr, stopping.interrupt());
      });
  if (!views) return views.error();
  return sdk::to_public(*views);
}

Status UserClient::watch(std::string_view uid,
                         const std::function<void(const SessionEvent&)>& observe,
                         std::chrono::milliseconds period, const std::vector<Endpoint>& servers,
                         std::stop_token stop) {
  if (auto status = sdk::check_duration("period", period); !status) return status;
  using Watching = std::unique_ptr<sdk::Watching>;
  auto watching = impl_->at<Watching>(
      uid, servers, [&](const auto&, const auto& id, const auto& places) -> Result<Watching> {
        return std::make_unique<sdk::Watching>(impl_->client(), id, places, period);
      });
  if (!watching) return watching.error();
  return (*watching)->tell(observe, stop);
}

Result<std::vector<RequestedSession>> UserClient::sessions(std::stop_token stop) {
  return sdk::guarded([&]() -> Result<std::vector<RequestedSession>> {
    sdk::Stopping stopping(std::move(stop));
    const auto list = impl_->client()->sessions(stopping.interrupt());
    if (!list) return list.error();
    return sdk::to_public(*list);
  });
}

Result<ServerInfo> UserClient::info(const Endpoint& server, std::stop_token stop) {
  return sdk::guarded([&]() -> Result<ServerInfo> {
    sdk::Stopping stopping(std::move(stop));
    const auto info = impl_->client()->info(server, stopping.interrupt());
    if (!info) return info.error();
    return sdk::to_public(*info);
  });
}

}  // namespace scistream::inline v0

#include "control/control_client.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <mutex>

#include "base/wait_for.hpp"
#include "control/control_server.hpp"
#include "control/grpc.hpp"
#include "control/headers.hpp"
#include "net/asio_scheduler.hpp"
#include "net/tcp.hpp"

namespace scistream::control {
namespace {

using std::chrono::milliseconds;

/// One control server in this process and a client of its own.
class ControlClientTest : public ::testing::Test {
 protected:
  static std::unique_ptr<ControlServer> server_at(std::uint16_t port) {
    ControlServerOptions options;
    options.listener_ip = "127.0.3.1";
    options.port = port;
    options.tls = false;
    options.data_server_place = DataServerPlace::inside;
    auto server = std::make_unique<ControlServer>(options, null_logger());
    const Status started = server->start();
    EXPECT_TRUE(started.ok()) << started.error().message;
    return server;
  }
  void TearDown() override {
    client.reset();
    scheduler.stop();
  }
  void talk_to(const Endpoint& endpoint) {
    client = std::make_unique<ControlClient>(scheduler, ServerAccess{endpoint, false, ""});
  }
  Result<ServerInfo> info() {
    return wait_for<ServerInfo>([this](auto done) { client->info(done); });
  }

  net::AsioScheduler scheduler;
  std::unique_ptr<ControlClient> client;
};

// Protocol: lost-answer-repeated
TEST_F(ControlClientTest, ACallMeetsAServerThatComesBack) {
  auto server = server_at(0);
  const Endpoint endpoint = server->endpoint();
  talk_to(endpoint);
  ASSERT_TRUE(info().ok());
  server.reset();
  auto answer = std::async(std::launch::async, [this] { return info(); });
  EXPECT_EQ(answer.wait_for(milliseconds(100)), std::future_status::timeout) << "it goes on trying";
  server = server_at(endpoint.port);
  const auto got = answer.get();
  EXPECT_TRUE(got.ok()) << got.error().message;
}

// Protocol: refused-at-once
TEST_F(ControlClientTest, AServerThatWasNeverThereFailsAtOnce) {
  const auto address = net::local_endpoint({"127.0.3.1", 0});
  const auto held = net::bind_tcp(*address);  // bound, not listening: refuses
  talk_to(net::to_endpoint(*net::bound_address(held->get())));
  const auto started = std::chrono::steady_clock::now();
  const auto got = info();
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().cause, Cause::unavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(3));
}

TEST_F(ControlClientTest, ACancelledCallIsAnsweredCancelled) {
  const auto address = net::local_endpoint({"127.0.3.1", 0});
  const auto silent = net::bind_tcp(*address);
  ASSERT_TRUE(net::listen_tcp(silent->get(), 8).ok());  // accepts, and never says a word
  talk_to(net::to_endpoint(*net::bound_address(silent->get())));
  std::promise<Result<ServerInfo>> answer;
  const auto call = client->info([&answer](Result<ServerInfo> got) { answer.set_value(got); });
  call->cancel();
  call->cancel();
  const auto got = answer.get_future().get();
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().cause, Cause::cancelled);
}

TEST_F(ControlClientTest, ItsEndAnswersWhatIsOpen) {
  const auto server = server_at(0);
  talk_to(server->endpoint());
  session::Request wanted;
  wanted.key = {"waits", Role::producer};
  std::promise<Result<session::RequestAnswer>> answered;
  std::promise<Status> watched;
  (void)client->request(wanted, milliseconds(60'000),
                        [&](Result<session::RequestAnswer> got) { answered.set_value(got); });
  // Its first event says that both calls have reached the server.
  std::promise<void> seen;
  std::once_flag once;
  const auto watch = client->watch(
      {"waits"}, milliseconds(50), Present::or_later,
      [&](const session::SessionEvent&) { std::call_once(once, [&] { seen.set_value(); }); },
      [&](const Status& end) { watched.set_value(end); });
  seen.get_future().wait();
  client.reset();
  EXPECT_EQ(answered.get_future().get().error().cause, Cause::cancelled);
  EXPECT_EQ(watched.get_future().get().error().cause, Cause::cancelled);
  watch->cancel();  // too late, and harmless
}

/// A server on its way out, as gRPC shows one: it has ended the calls that were open.
class ServerGoingAway final : public Control::CallbackService {
 public:
  enum class Product { ours, leaving, other };

  /// What answers `info`: a handler of ours, that only at the second call, or none of ours.
  explicit ServerGoingAway(Product product) : product_(product) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.3.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~ServerGoingAway() override {
    server_->Shutdown();
    server_->Wait();
  }

  [[nodiscard]] Endpoint endpoint() const {
    return {"127.0.3.1", static_cast<std::uint16_t>(port_)};
  }
  [[nodiscard]] int requests() const { return requests_; }

 private:
  grpc::ServerUnaryReactor* info(grpc::CallbackServerContext* context, const InfoRequest*,
                                 scistream::ServerInfo*) override {
    const bool first = calls_++ == 0;
    if (product_ != Product::other) context->AddInitialMetadata(version_header, "1");
    if (product_ == Product::ours) context->AddTrailingMetadata(version_header, "1");
    auto* reactor = context->DefaultReactor();
    reactor->Finish(first ? grpc::Status::CANCELLED : grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor* req(grpc::CallbackServerContext* context, const Request*,
                                Response*) override {
    ++requests_;
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::CANCELLED);
    return reactor;
  }

  grpc::ServerWriteReactor<SessionEvent>* watch(grpc::CallbackServerContext*,
                                                const WatchRequest*) override {
    class Ended final : public grpc::ServerWriteReactor<SessionEvent> {
     public:
      Ended() { Finish(grpc::Status::CANCELLED); }
      void OnDone() override { delete this; }
    };
    return new Ended;
  }

  const Product product_;
  std::atomic<int> requests_ = 0;
  std::atomic<int> calls_ = 0;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// Protocol: server-on-its-way-out
TEST_F(ControlClientTest, ACallThatIsLeftUnansweredIsMadeAgain) {
  const ServerGoingAway server(ServerGoingAway::Product::leaving);
  talk_to(server.endpoint());
  const auto got = info();
  EXPECT_TRUE(got.ok()) << got.error().message;
}

TEST_F(ControlClientTest, ACallThatAHandlerAnswersCancelledIsCancelled) {
  const ServerGoingAway server(ServerGoingAway::Product::ours);
  talk_to(server.endpoint());
  const auto got = info();
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().cause, Cause::cancelled);
}

TEST_F(ControlClientTest, ARequestThatAServerOfAnotherVersionLeavesUnansweredIsNotRepeated) {
  const ServerGoingAway server(ServerGoingAway::Product::other);
  talk_to(server.endpoint());
  const auto got = wait_for<session::RequestAnswer>([this](auto done) {
    session::Request wanted;
    wanted.key = {"once", Role::producer};
    client->request(wanted, milliseconds(60'000), done);
  });
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().cause, Cause::unavailable) << got.error().message;
  EXPECT_EQ(server.requests(), 1);
}

// Protocol: server-on-its-way-out
TEST_F(ControlClientTest, AWatchThatTheServerCutsIsLostNotCancelled) {
  const ServerGoingAway server(ServerGoingAway::Product::leaving);
  talk_to(server.endpoint());
  std::promise<Status> watched;
  const auto watch = client->watch(
      {"some"}, milliseconds(50), Present::or_later, [](const session::SessionEvent&) {},
      [&](const Status& end) { watched.set_value(end); });
  const Status end = watched.get_future().get();
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().cause, Cause::unavailable) << end.error().message;
}

}  // namespace
}  // namespace scistream::control

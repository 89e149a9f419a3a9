#include "dataserver/custom_forwarding.hpp"

#include <atomic>
#include <functional>
#include <future>
#include <stdexcept>

#include "dataserver/asking.hpp"

namespace scistream::dataserver {
namespace {

/// Does what each function is told to.
struct Script {
  std::function<std::string()> kind = [] { return "Scripted"; };
  std::vector<std::string> transports{"tcp"};
  std::function<void()> listen = [] {};
  std::function<std::vector<std::uint16_t>()> ports = [] {
    return std::vector<std::uint16_t>{40'000};
  };
  std::function<Status()> forward = [] { return Status(); };
  std::function<void()> cut = [] {};
  std::function<void()> drain = [] {};
  std::function<Traffic()> traffic = [] { return Traffic(); };
  std::atomic<int> cuts{0};
  std::atomic<int> channels{0};  ///< Alive.
};

class Scripted final : public v0::DataServer {
 public:
  explicit Scripted(std::shared_ptr<Script> script) : script_(std::move(script)) {}

  [[nodiscard]] std::string kind() const override { return script_->kind(); }
  [[nodiscard]] std::vector<std::string> transports() const override { return script_->transports; }
  Result<std::unique_ptr<Channel>> listen(const ListenRequest&) override {
    script_->listen();
    return std::unique_ptr<Channel>(std::make_unique<Session>(script_));
  }

 private:
  class Session final : public Channel {
   public:
    explicit Session(std::shared_ptr<Script> script) : script_(std::move(script)) {
      ++script_->channels;
    }
    ~Session() override { --script_->channels; }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    [[nodiscard]] std::vector<std::uint16_t> ports() const override { return script_->ports(); }
    Status forward(const ForwardRequest&) override { return script_->forward(); }
    void cut() override {
      ++script_->cuts;
      script_->cut();
    }
    void drain() override { script_->drain(); }
    [[nodiscard]] Traffic traffic() const override { return script_->traffic(); }

   private:
    const std::shared_ptr<Script> script_;
  };

  const std::shared_ptr<Script> script_;
};

/// Opens once; whoever waits is let go.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_open_ = false;
};

class CustomForwardingTest : public ::testing::Test {
 protected:
  void start(CustomForwarding::Limits limits = {}) {
    auto made = make_custom_data_server(std::make_shared<Scripted>(script_), null_logger(), limits);
    ASSERT_TRUE(made.ok()) << made.error().message;
    server_ = std::move(*made);
  }
  Result<Reservation> reserve(int num_conn = 1, const std::string& uid = "session") {
    return wait_for<Reservation>([&](auto done) {
      server_->reserve({{uid, Role::producer}, num_conn, "127.0.0.1", {40'000, 40'010}, {}}, done);
    });
  }
  /// Begins to reserve; the answer comes.
  std::future<Result<Reservation>> begin_reserve(const std::string& uid = "session") {
    const auto promise = std::make_shared<std::promise<Result<Reservation>>>();
    server_->reserve({{uid, Role::producer}, 1, "127.0.0.1", {40'000, 40'010}, {}},
                     [promise](auto result) { promise->set_value(std::move(result)); });
    return promise->get_future();
  }
  std::future<Result<Released>> begin_release(Ending ending) {
    const auto promise = std::make_shared<std::promise<Result<Released>>>();
    server_->release({"session", Role::producer}, ending,
                     [promise](auto result) { promise->set_value(std::move(result)); });
    return promise->get_future();
  }
  Status update() {
    return wait_for<void>([&](auto done) {
      UpdateRequest request{{"session", Role::producer}, {{"127.0.0.1", 9}}, "tcp", {}, {}};
      server_->update(request, done);
    });
  }
  Result<Released> release(Ending ending = Ending::cut, const std::string& uid = "session") {
    return wait_for<Released>(
        [&](auto done) { server_->release({uid, Role::producer}, ending, done); });
  }
  std::vector<SessionStatus> sessions() {
    return *wait_for<std::vector<SessionStatus>>([&](auto done) { server_->status({}, done); });
  }
  bool leaves_no_channel() {
    server_.reset();
    return eventually([this] { return script_->channels == 0; });
  }

  const std::shared_ptr<Script> script_ = std::make_shared<Script>();
  std::unique_ptr<DataServer> server_;
};

TEST_F(CustomForwardingTest, SaysWhatItIs) {
  script_->transports = {"tcp", "tls"};
  start();
  const auto info = wait_for<Info>([&](auto done) { server_->info(done); });
  EXPECT_EQ(info->kind, "Scripted");
  EXPECT_EQ(info->transports, (std::vector<std::string>{"tcp", "tls"}));
}

TEST_F(CustomForwardingTest, NonsenseOfItselfIsRefused) {
  const auto refused = [this] {
    return make_custom_data_server(std::make_shared<Scripted>(script_), null_logger())
        .error()
        .message;
  };
  script_->kind = [] { return "a b"; };
  EXPECT_NE(refused().find("not 'a b'"), std::string::npos);
  script_->kind = []() -> std::string { throw std::runtime_error("no kind"); };
  EXPECT_EQ(refused(), "no kind");
  script_->kind = [] { return "Good"; };
  script_->transports = {"carrier pigeon"};
  EXPECT_NE(refused().find("tcp, tls or both"), std::string::npos);
  script_->transports = {};
  EXPECT_NE(refused().find("tcp, tls or both"), std::string::npos);
}

TEST_F(CustomForwardingTest, WhatListenThrowsIsTheErrorOfTheSession) {
  script_->listen = [] { throw std::runtime_error("the switch is off"); };
  start();
  const auto reserved = reserve();
  ASSERT_FALSE(reserved.ok());
  EXPECT_EQ(reserved.error().cause, Cause::failure);
  EXPECT_EQ(reserved.error().message, "a data server of kind Scripted: the switch is off");
  script_->listen = [] { throw 7; };
  EXPECT_NE(reserve().error().message.find("no std::exception"), std::string::npos);
  EXPECT_TRUE(sessions().empty());
}

TEST_F(CustomForwardingTest, WrongPortsAreCutAndRefused) {
  start();
  EXPECT_NE(reserve(2).error().message.find("2 listeners, and has 1 port"), std::string::npos);
  EXPECT_EQ(script_->cuts, 1);
  EXPECT_TRUE(leaves_no_channel());
}

TEST_F(CustomForwardingTest, APortIsOneSessionsAtATime) {
  start();
  ASSERT_TRUE(reserve().ok());
  const auto other = reserve(1, "other");
  ASSERT_FALSE(other.ok());
  EXPECT_NE(other.error().message.find("port 40000 is that of another"), std::string::npos);
  EXPECT_TRUE(eventually([this] { return script_->cuts == 1 && script_->channels == 1; }));
  ASSERT_TRUE(release().ok());
  EXPECT_TRUE(reserve(1, "other").ok());
}

TEST_F(CustomForwardingTest, AnErrorOfForwardEndsTheSession) {
  script_->forward = [] { return Error{Cause::unavailable, "no route"}; };
  start();
  ASSERT_TRUE(reserve().ok());
  const Status updated = update();
  ASSERT_FALSE(updated.ok());
  EXPECT_EQ(updated.error().message, "no route");
  EXPECT_TRUE(eventually([this] { return sessions().empty(); }));
  EXPECT_EQ(script_->cuts, 1);
}

TEST_F(CustomForwardingTest, ASlowListenHoldsNoOtherSessionUp) {
  Gate gate;
  std::atomic<int> calls{0};
  script_->listen = [&] {
    if (++calls == 1) gate.pass();
  };
  std::atomic<std::uint16_t> port{40'000};
  script_->ports = [&] { return std::vector<std::uint16_t>{port++}; };
  start();
  auto first = begin_reserve("slow");
  ASSERT_TRUE(eventually([&] { return calls == 1; }));
  EXPECT_TRUE(reserve().ok());
  gate.open();
  EXPECT_TRUE(first.get().ok());
}

TEST_F(CustomForwardingTest, AskedTwiceAmidAListenBothAreAnswered) {
  Gate gate;
  std::atomic<int> calls{0};
  script_->listen = [&] {
    ++calls;
    gate.pass();
  };
  start();
  std::vector<std::future<Result<Reservation>>> answers;
  for (int i = 0; i < 2; ++i) answers.push_back(begin_reserve());
  EXPECT_EQ(reserve(2).error().cause, Cause::already_exists);
  gate.open();
  const auto one = answers[0].get();
  const auto other = answers[1].get();
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_EQ(one->id, other->id);
  EXPECT_EQ(calls, 1);
}

TEST_F(CustomForwardingTest, AReleaseAmidAListenEndsWhatItBrings) {
  Gate gate;
  std::atomic<bool> is_listening{false};
  script_->listen = [&] {
    is_listening = true;
    gate.pass();
  };
  start();
  auto reserved = begin_reserve();
  ASSERT_TRUE(eventually([&] { return is_listening.load(); }));
  auto released = begin_release(Ending::cut);
  EXPECT_EQ(sessions().size(), 1U);
  gate.open();
  EXPECT_EQ(reserved.get().error().cause, Cause::cancelled);
  EXPECT_TRUE(released.get().ok());
  EXPECT_EQ(script_->cuts, 1);
  EXPECT_TRUE(leaves_no_channel());
}

TEST_F(CustomForwardingTest, AListenThatComesTooLateIsCut) {
  Gate gate;
  script_->listen = [&] { gate.pass(); };
  CustomForwarding::Limits limits;
  limits.answer = std::chrono::milliseconds(50);
  start(limits);
  const auto reserved = reserve();
  ASSERT_FALSE(reserved.ok());
  EXPECT_EQ(reserved.error().cause, Cause::timeout);
  EXPECT_TRUE(sessions().empty());
  gate.open();
  EXPECT_TRUE(eventually([this] { return script_->cuts == 1 && script_->channels == 0; }));
}

TEST_F(CustomForwardingTest, ACutThatNeverReturnsHoldsNobodyUp) {
  Gate gate;
  script_->cut = [&] { gate.pass(); };
  CustomForwarding::Limits limits;
  limits.cut = std::chrono::milliseconds(50);
  start(limits);
  ASSERT_TRUE(reserve().ok());
  EXPECT_TRUE(release().ok());
  EXPECT_TRUE(sessions().empty());
  gate.open();
  EXPECT_TRUE(leaves_no_channel());
}

TEST_F(CustomForwardingTest, OneThatHangsDoesNotKeepItsOwnerFromEnding) {
  Gate gate;
  std::atomic<bool> is_listening{false};
  script_->listen = [&] {
    is_listening = true;
    gate.pass();
  };
  CustomForwarding::Limits limits;
  limits.hurry = std::chrono::milliseconds(50);
  start(limits);
  auto reserved = begin_reserve();
  ASSERT_TRUE(eventually([&] { return is_listening.load(); }));
  std::thread ending([this] { server_.reset(); });
  EXPECT_FALSE(reserved.get().ok());
  gate.open();
  ending.join();
  EXPECT_TRUE(eventually([this] { return script_->channels == 0; }));
}

TEST_F(CustomForwardingTest, OneThatIsHurriedWaitsForNothingLong) {
  Gate gate;
  std::atomic<bool> listen_hangs{true};
  script_->listen = [&] {
    if (listen_hangs) gate.pass();
  };
  script_->cut = [&] { gate.pass(); };
  CustomForwarding::Limits limits;
  limits.hurry = std::chrono::milliseconds(50);
  limits.cut = std::chrono::hours(1);
  start(limits);
  auto reserved = begin_reserve();
  server_->hurry();
  EXPECT_EQ(reserved.get().error().cause, Cause::timeout) << "though it may take 30 s otherwise";
  listen_hangs = false;
  ASSERT_TRUE(reserve().ok());
  EXPECT_TRUE(release().ok()) << "what is asked for later is hurried as well";
  gate.open();
  EXPECT_TRUE(leaves_no_channel());
}

TEST_F(CustomForwardingTest, TrafficThatNeverReturnsDelaysNoCut) {
  Gate gate;
  script_->traffic = [&]() -> Traffic {
    gate.pass();
    return {};
  };
  CustomForwarding::Limits limits;
  limits.traffic = std::chrono::milliseconds(50);
  limits.cut = std::chrono::hours(1);
  start(limits);
  ASSERT_TRUE(reserve().ok());
  EXPECT_TRUE(release().ok());
  EXPECT_EQ(script_->cuts, 1);
  gate.open();
  EXPECT_TRUE(leaves_no_channel());
}

TEST_F(CustomForwardingTest, ACutEndsADrain) {
  Gate gate;
  script_->drain = [&] { gate.pass(); };
  script_->cut = [&] { gate.open(); };
  start();
  ASSERT_TRUE(reserve().ok());
  auto drained = begin_release(Ending::drain);
  EXPECT_EQ(sessions().front().state, State::releasing);
  EXPECT_TRUE(release().ok());
  EXPECT_TRUE(drained.get().ok());
  EXPECT_TRUE(leaves_no_channel());
}

TEST_F(CustomForwardingTest, ItsTrafficIsCountedAndTheLastOfItAsWell) {
  std::atomic<std::uint64_t> bytes{5};
  script_->traffic = [&] { return Traffic{bytes.load(), 1, 0, 1, 0, 0}; };
  start();
  Recorder recorder;
  const auto watch = server_->watch(std::chrono::milliseconds(50), recorder.observer());
  ASSERT_TRUE(reserve().ok());
  EXPECT_TRUE(recorder.has([](const Event& event) {
    return event.kind == Event::Kind::counters && event.status.counters.bytes_to_consumer == 5;
  }));
  bytes = 9;
  EXPECT_TRUE(release().ok());
  EXPECT_TRUE(recorder.has([](const Event& event) {
    return event.kind == Event::Kind::gone && event.status.counters.bytes_to_consumer == 9;
  }));
}

TEST_F(CustomForwardingTest, TrafficThatCannotBeToldEndsNothing) {
  script_->traffic = []() -> Traffic { throw std::runtime_error("no counters"); };
  start();
  ASSERT_TRUE(reserve().ok());
  EXPECT_TRUE(update().ok());
  EXPECT_EQ(sessions().size(), 1U);
  EXPECT_TRUE(release().ok());
}

}  // namespace
}  // namespace scistream::dataserver

#include "dataserver/native.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <optional>
#include <thread>

#include "dataserver/free_range.hpp"
#include "net/sockets.hpp"

namespace scistream::dataserver {
namespace {

using namespace test;

/// Calls an asynchronous function and waits for its answer.
template <class T, class F>
Result<T> wait_for(F call) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  auto future = promise->get_future();
  call([promise](Result<T> result) { promise->set_value(std::move(result)); });
  if (future.wait_for(patience) != std::future_status::ready) {
    return Error{Cause::timeout, "no answer"};
  }
  return future.get();
}

/// Collects events and waits for some.
class Recorder {
 public:
  std::function<void(const Event&)> observer() {
    return [this](const Event& event) {
      const std::lock_guard lock(mutex_);
      events_.push_back(event);
      changed_.notify_all();
    };
  }
  bool has(const std::function<bool(const Event&)>& wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience,
                             [&] { return std::any_of(events_.begin(), events_.end(), wanted); });
  }
  std::vector<Event> events() {
    const std::lock_guard lock(mutex_);
    return events_;
  }
  /// `reserving`, …, `gone`, in order, without the periodic ones.
  std::vector<std::string> states() {
    std::vector<std::string> names;
    for (const Event& event : events()) {
      if (event.kind == Event::Kind::state) names.emplace_back(to_string(event.status.state));
      if (event.kind == Event::Kind::gone) names.emplace_back("gone");
      if (event.kind == Event::Kind::lost) names.emplace_back("lost");
    }
    return names;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Event> events_;
};

class NativeTest : public ::testing::Test {
 protected:
  [[nodiscard]] ReserveRequest request(Role role = Role::producer, int num_conn = 1) const {
    return {{"session", role}, num_conn, "127.0.0.1", range_, {}};
  }
  Result<Reservation> reserve(const ReserveRequest& what) {
    return wait_for<Reservation>([&](auto done) { server_->reserve(what, done); });
  }
  Status update(const UpdateRequest& what) {
    return wait_for<void>([&](auto done) { server_->update(what, done); });
  }
  Status update(Role role, const Endpoint& target) {
    return update({{"session", role}, {target}, "tcp", {}, {}});
  }
  Status release(Role role = Role::producer, Ending ending = Ending::cut) {
    return wait_for<void>([&](auto done) { server_->release({"session", role}, ending, done); });
  }
  Result<std::vector<SessionStatus>> status(std::optional<SessionKey> key = {}) {
    return wait_for<std::vector<SessionStatus>>([&](auto done) { server_->status(key, done); });
  }
  static Endpoint at(std::uint16_t port) { return {"127.0.0.1", port}; }

  const PortRange range_ = free_range(16);
  std::unique_ptr<NativeDataServer> server_ = std::make_unique<NativeDataServer>(
      NativeOptions{2, {net::Ciphersuite::aes_128_gcm}, {}}, null_logger());
};

TEST_F(NativeTest, SaysWhatItIs) {
  must(reserve(request()));
  const Info info = must(wait_for<Info>([&](auto done) { server_->info(done); }));
  EXPECT_EQ(info.kind, "Native");
  EXPECT_FALSE(info.version.empty());
  EXPECT_EQ(info.transports, (std::vector<std::string>{"tcp", "tls"}));
  EXPECT_EQ(info.sessions, 1U);
}

// Protocol: wan-refused-early
TEST_F(NativeTest, ProducerListenersRefuseUntilUpdate) {
  const Target app;
  const auto ports = must(reserve(request(Role::producer, 2))).ports;
  ASSERT_EQ(ports.size(), 2U);
  for (const auto port : ports) EXPECT_EQ(connect_error(at(port)), ECONNREFUSED);
  must(update(Role::producer, app.endpoint()));
  const net::Fd client = connect_to(at(ports[1]));
  const net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  send_all(accepted.get(), "image");
  EXPECT_EQ(receive(client.get(), 5).bytes, "image");
}

// Protocol: lan-waits-early
TEST_F(NativeTest, ConsumerListenersHoldUntilUpdate) {
  const Target producer_side;
  const auto ports = must(reserve(request(Role::consumer))).ports;
  const net::Fd client = connect_to(at(ports[0]));
  send_all(client.get(), "early");
  must(update(Role::consumer, producer_side.endpoint()));
  const net::Fd accepted = producer_side.accept();
  ASSERT_TRUE(accepted);
  EXPECT_EQ(receive(accepted.get(), 5).bytes, "early");
  send_all(accepted.get(), "image");
  EXPECT_EQ(receive(client.get(), 5).bytes, "image");
}

// Protocol: transport-tls, data-key-refused
TEST_F(NativeTest, BothSidesOfAnEncryptedSessionProveItsKey) {
  const Target app;
  const Secret key = Secret::random(key_size);
  const auto prod = must(reserve(request(Role::producer))).ports.at(0);
  const auto cons = must(reserve(request(Role::consumer))).ports.at(0);
  must(update({{"session", Role::producer}, {app.endpoint()}, "tls", key, {}}));
  must(update({{"session", Role::consumer}, {at(prod)}, "tls", key, {}}));
  const net::Fd client = connect_to(at(cons));
  const net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  send_all(accepted.get(), "image");
  EXPECT_EQ(receive(client.get(), 5).bytes, "image");

  const net::Fd stranger = connect_to(at(prod));
  send_all(stranger.get(), "let me in, please: I know the port and the id");
  EXPECT_NE(receive(stranger.get()).bytes, "image");
  const auto refused = [&] {
    return must(status(SessionKey{"session", Role::producer})).front().counters.refused == 1;
  };
  EXPECT_TRUE(eventually(refused));
  EXPECT_FALSE(app.accept(std::chrono::milliseconds(0)));
}

// Protocol: data-key-replaced
TEST_F(NativeTest, AnotherUpdateReplacesTheKey) {
  const Target app;
  const Secret first = Secret::random(key_size);
  const Secret second = Secret::random(key_size);
  const auto prod = must(reserve(request(Role::producer))).ports.at(0);
  const auto cons = must(reserve(request(Role::consumer))).ports.at(0);
  const auto echoes = [&] {
    const net::Fd client = connect_to(at(cons));
    const net::Fd accepted = app.accept();
    if (!accepted) return false;
    send_all(accepted.get(), "image");
    return receive(client.get(), 5).bytes == "image";
  };
  const auto set = [&](Role role, const Endpoint& target, const Secret& key) {
    must(update({{"session", role}, {target}, "tls", key, {}}));
  };
  set(Role::producer, app.endpoint(), first);
  set(Role::consumer, at(prod), first);
  EXPECT_TRUE(echoes());
  set(Role::producer, app.endpoint(), second);
  EXPECT_TRUE(echoes()) << "the other facility has not been told yet";
  set(Role::consumer, at(prod), second);
  EXPECT_TRUE(echoes());
}

TEST_F(NativeTest, CountsBytesTowardsConsumerAndProducer) {
  const Target app;
  for (const Role role : {Role::producer, Role::consumer}) {
    const auto ports = must(reserve(request(role))).ports;
    must(update(role, app.endpoint()));
    const net::Fd client = connect_to(at(ports[0]));
    const net::Fd accepted = app.accept();
    ASSERT_TRUE(accepted);
    send_all(accepted.get(), "image");
    EXPECT_EQ(receive(client.get(), 5).bytes, "image");
    send_all(client.get(), "go");
    EXPECT_EQ(receive(accepted.get(), 2).bytes, "go");
    SessionStatus now;
    ASSERT_TRUE(eventually([&] {
      now = must(status(SessionKey{"session", role})).at(0);
      return now.counters.bytes_to_consumer == 5 && now.counters.bytes_to_producer == 2;
    }));
    EXPECT_EQ(now.counters.connections_active, 1U);
    EXPECT_EQ(now.ports, ports);
    EXPECT_EQ(now.targets, std::vector<Endpoint>{app.endpoint()});
    EXPECT_EQ(now.transport, "tcp");
    EXPECT_EQ(now.state, State::idle);
    ASSERT_EQ(now.connections.size(), 1U);
    const ConnectionStatus& connection = now.connections[0];
    EXPECT_EQ(connection.port, ports[0]);
    EXPECT_EQ(connection.target, to_string(app.endpoint()));
    EXPECT_EQ(connection.peer, to_string(net::to_endpoint(must(net::bound_address(client.get())))));
    EXPECT_EQ(connection.bytes_to_consumer, 5U);
    EXPECT_EQ(connection.bytes_to_producer, 2U);
  }
  const auto all = must(status());
  ASSERT_EQ(all.size(), 2U);
  EXPECT_TRUE(all[0].connections.empty());
}

TEST_F(NativeTest, ReserveAgainAnswersTheSame) {
  const auto first = must(reserve(request(Role::producer, 3)));
  EXPECT_EQ(must(reserve(request(Role::producer, 3))).ports, first.ports);
  const auto other = reserve(request(Role::producer, 4));
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().cause, Cause::already_exists);
  EXPECT_EQ(must(status()).size(), 1U);
}

TEST_F(NativeTest, ASessionOfTheSameKeyIsAnotherReservation) {
  const auto first = must(reserve(request()));
  EXPECT_EQ(must(reserve(request())).id, first.id);
  must(release());
  const auto second = must(reserve(request()));
  EXPECT_NE(second.id, first.id);
  EXPECT_EQ(must(status()).front().reservation, second.id);
}

// Protocol: session-key
TEST_F(NativeTest, AnotherDataServersReservationIsAnother) {
  const auto first = must(reserve(request())).id;
  server_ = std::make_unique<NativeDataServer>(
      NativeOptions{1, {net::Ciphersuite::aes_128_gcm}, {}}, null_logger());
  EXPECT_NE(must(reserve(request())).id, first);
}

TEST_F(NativeTest, RolesOfOneIdAreTwoSessions) {
  const auto producer = must(reserve(request(Role::producer))).ports;
  const auto consumer = must(reserve(request(Role::consumer))).ports;
  EXPECT_NE(producer, consumer);
  must(release(Role::producer));
  ASSERT_EQ(must(status()).size(), 1U);
  EXPECT_EQ(must(status())[0].session.role, Role::consumer);
}

// Protocol: reserve-failure
TEST_F(NativeTest, ReserveBeyondTheRangeIsExhaustedAndKeepsNothing) {
  const auto result = reserve(request(Role::producer, 17));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().cause, Cause::exhausted);
  EXPECT_EQ(result.error().message,
            "17 listeners wanted, 16 of range " + to_string(range_) + " are free");
  EXPECT_TRUE(must(status()).empty());
  EXPECT_EQ(must(reserve(request(Role::producer, 16))).ports.size(), 16U);
}

TEST_F(NativeTest, ReserveWithoutDescriptorsIsExhaustedAndKeepsNothing) {
  must(status());  // Everything lazy has happened.
  const int before = open_descriptors();
  {
    const NoMoreDescriptors none;
    const auto result = reserve(request(Role::producer, 4));
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().cause, Cause::exhausted);
    EXPECT_NE(result.error().message.find("open files"), std::string::npos);
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_TRUE(must(status()).empty());
}

// Protocol: ports-held-by-others
TEST_F(NativeTest, SkipsPortsHeldByOthers) {
  const net::Fd other = must(net::bind_tcp(address_of(at(range_.first))));
  const auto ports = must(reserve(request(Role::producer, 15))).ports;
  EXPECT_EQ(std::count(ports.begin(), ports.end(), range_.first), 0);
}

TEST_F(NativeTest, RestoresExactPorts) {
  ReserveRequest exact = request(Role::producer, 2);
  exact.exact_ports = {range_.last, range_.first};
  EXPECT_EQ(must(reserve(exact)).ports, exact.exact_ports);
  exact.session.uid = "another";
  EXPECT_EQ(reserve(exact).error().cause, Cause::exhausted);
}

TEST_F(NativeTest, RefusesRequestsThatCannotWork) {
  ReserveRequest none = request(Role::producer, 0);
  EXPECT_EQ(reserve(none).error().cause, Cause::invalid_argument);
  EXPECT_EQ(reserve(request(Role::producer, max_num_conn + 1)).error().cause,
            Cause::invalid_argument);
  ReserveRequest elsewhere = request();
  elsewhere.bind_host = "203.0.113.7";
  EXPECT_EQ(reserve(elsewhere).error().cause, Cause::invalid_argument);
  ReserveRequest too_few = request(Role::producer, 2);
  too_few.exact_ports = {range_.first};
  EXPECT_EQ(reserve(too_few).error().cause, Cause::invalid_argument);
  EXPECT_TRUE(must(status()).empty());

  must(reserve(request()));
  EXPECT_EQ(update({{"session", Role::producer}, {}, "tcp", {}, {}}).error().cause,
            Cause::invalid_argument);
  const Status udp = update({{"session", Role::producer}, {at(1)}, "udp", {}, {}});
  EXPECT_EQ(udp.error().cause, Cause::invalid_argument);
  EXPECT_NE(udp.error().message.find("'udp'"), std::string::npos);
  for (const std::size_t size : {0U, 16U, 33U}) {
    const Status tls =
        update({{"session", Role::producer}, {at(1)}, "tls", Secret::random(size), {}});
    EXPECT_EQ(tls.error().cause, Cause::invalid_argument);
    EXPECT_NE(tls.error().message.find("32 bytes"), std::string::npos);
  }
  EXPECT_EQ(update({{"unknown", Role::producer}, {at(1)}, "tcp", {}, {}}).error().cause,
            Cause::not_found);
  EXPECT_EQ(status(SessionKey{"unknown", Role::producer}).error().cause, Cause::not_found);
}

// Protocol: release-frees-ports
TEST_F(NativeTest, ReleaseReturnsEveryPort) {
  const Target app;
  const auto ports = must(reserve(request(Role::producer, 16))).ports;
  must(update(Role::producer, app.endpoint()));
  const net::Fd client = connect_to(at(ports[0]));
  const net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  must(release());
  EXPECT_EQ(receive(client.get()).error, ECONNRESET);
  EXPECT_EQ(receive(accepted.get()).error, ECONNRESET);
  for (const auto port : ports) EXPECT_TRUE(net::bind_tcp(address_of(at(port))).ok()) << port;
  EXPECT_TRUE(must(status()).empty());
}

TEST_F(NativeTest, ReleaseOfAnUnknownSessionSucceeds) {
  EXPECT_TRUE(release().ok());
  must(reserve(request()));
  EXPECT_TRUE(release().ok());
  EXPECT_TRUE(release().ok());
}

TEST_F(NativeTest, DrainWaitsForTheLastConnection) {
  const Target app;
  const auto ports = must(reserve(request())).ports;
  must(update(Role::producer, app.endpoint()));
  net::Fd client = connect_to(at(ports[0]));
  net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  std::promise<Status> drained;
  server_->release({"session", Role::producer}, Ending::drain,
                   [&](Status result) { drained.set_value(std::move(result)); });
  EXPECT_EQ(must(status()).at(0).state, State::releasing);
  EXPECT_EQ(reserve(request()).error().cause, Cause::failed_precondition);
  EXPECT_EQ(update(Role::producer, app.endpoint()).error().cause, Cause::failed_precondition);
  send_all(accepted.get(), "rest");
  EXPECT_EQ(receive(client.get(), 4).bytes, "rest");
  auto future = drained.get_future();
  EXPECT_NE(future.wait_for(0s), std::future_status::ready);
  client.reset();
  accepted.reset();
  ASSERT_EQ(future.wait_for(patience), std::future_status::ready);
  EXPECT_TRUE(future.get().ok());
}

TEST_F(NativeTest, CutEndsADrainAndAnswersBoth) {
  const Target app;
  const auto ports = must(reserve(request())).ports;
  must(update(Role::producer, app.endpoint()));
  const net::Fd client = connect_to(at(ports[0]));
  ASSERT_TRUE(app.accept());
  std::promise<Status> drained;
  server_->release({"session", Role::producer}, Ending::drain,
                   [&](Status result) { drained.set_value(std::move(result)); });
  EXPECT_TRUE(release().ok());
  EXPECT_TRUE(drained.get_future().get().ok());
}

TEST_F(NativeTest, TwoHundredSessionsLeaveDescriptorsAndThreadsAsTheyWere) {
  const Target app;
  const auto round = [&](Role role) {
    const auto ports = must(reserve(request(role, 4))).ports;
    must(update(role, app.endpoint()));
    const net::Fd client = connect_to(at(ports[0]));
    const net::Fd accepted = app.accept();
    ASSERT_TRUE(accepted);
    send_all(accepted.get(), "image");
    ASSERT_EQ(receive(client.get(), 5).bytes, "image");
    must(release(role));
  };
  for (int warm_up = 0; warm_up < 8; ++warm_up) round(Role::producer);
  const int threads = thread_count();
  const int sockets = open_descriptors("socket:");
  const int others = open_descriptors() - open_descriptors("pipe:") - sockets;
  for (int i = 0; i < 100; ++i) {
    round(Role::producer);
    round(Role::consumer);
  }
  EXPECT_EQ(thread_count(), threads);
  EXPECT_EQ(open_descriptors("socket:"), sockets);
  EXPECT_EQ(open_descriptors() - open_descriptors("pipe:") - sockets, others);
  EXPECT_LE(open_descriptors("pipe:"), 2 * 2 * 16);
}

// Protocol: amounts-range
TEST_F(NativeTest, ASessionMayHave4096Listeners) {
  const Target app;
  ReserveRequest big = request(Role::consumer, max_num_conn);
  big.ports = {1024, 65535};
  const auto ports = must(reserve(big)).ports;
  ASSERT_EQ(ports.size(), 4096U);
  must(update(Role::consumer, app.endpoint()));
  const net::Fd client = connect_to(at(ports.back()));
  EXPECT_TRUE(app.accept());
  must(release(Role::consumer));
}

TEST_F(NativeTest, WatchDeliversEveryState) {
  const Target app;
  Recorder recorder;
  const auto watch = server_->watch(1h, recorder.observer());
  must(reserve(request()));
  must(update(Role::producer, app.endpoint()));
  must(release());
  ASSERT_TRUE(recorder.has([](const Event& e) { return e.kind == Event::Kind::gone; }));
  EXPECT_EQ(recorder.states(), (std::vector<std::string>{"reserving", "idle", "updating", "idle",
                                                         "releasing", "gone"}));
  EXPECT_EQ(recorder.events()[3].status.targets, std::vector<Endpoint>{app.endpoint()});
}

TEST_F(NativeTest, WatchTellsWhyAReserveFailed) {
  Recorder recorder;
  const auto watch = server_->watch(1h, recorder.observer());
  const auto failed = reserve(request(Role::producer, 17));
  ASSERT_TRUE(recorder.has([](const Event& e) { return e.kind == Event::Kind::gone; }));
  EXPECT_EQ(recorder.states(), (std::vector<std::string>{"reserving", "releasing", "gone"}));
  EXPECT_EQ(recorder.events()[1].detail, failed.error().message);
}

TEST_F(NativeTest, WatchDeliversCountersOnlyWhenTheyChanged) {
  const Target app;
  const auto ports = must(reserve(request())).ports;
  must(update(Role::producer, app.endpoint()));
  Recorder recorder;
  const auto watch = server_->watch(10ms, recorder.observer());
  const net::Fd client = connect_to(at(ports[0]));
  const net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  send_all(accepted.get(), "image");
  EXPECT_EQ(receive(client.get(), 5).bytes, "image");
  ASSERT_TRUE(recorder.has([](const Event& e) {
    return e.kind == Event::Kind::counters && e.status.counters.bytes_to_consumer == 5;
  }));
  Recorder later;
  const auto second_watch = server_->watch(10ms, later.observer());
  must(release());
  ASSERT_TRUE(later.has([](const Event& e) { return e.kind == Event::Kind::gone; }));
  const auto events = recorder.events();
  for (std::size_t i = 1; i < events.size(); ++i) {
    const bool both =
        events[i].kind == Event::Kind::counters && events[i - 1].kind == Event::Kind::counters;
    if (!both) continue;
    const Counters& a = events[i - 1].status.counters;
    const Counters& b = events[i].status.counters;
    EXPECT_TRUE(a.bytes_to_consumer != b.bytes_to_consumer ||
                a.connections_active != b.connections_active || a.errors != b.errors);
  }
}

TEST_F(NativeTest, NoEventComesAfterTheWatchIsDestroyed) {
  for (int i = 0; i < 50; ++i) {
    auto alive = std::make_unique<std::atomic<bool>>(true);
    auto watch = server_->watch(10ms, [flag = alive.get()](const Event&) { EXPECT_TRUE(*flag); });
    server_->reserve(request(), [](const auto&) {});
    server_->release({"session", Role::producer}, Ending::cut, [](const auto&) {});
    watch.reset();
    *alive = false;
    alive.reset();  // The sanitizers see a call that comes later.
  }
  must(status());
}

TEST_F(NativeTest, AWatchMayEndItself) {
  std::unique_ptr<Watch> watch;
  std::promise<void> called;
  std::mutex mutex;
  {
    const std::lock_guard lock(mutex);
    watch = server_->watch(1h, [&](const Event&) {
      const std::lock_guard inner(mutex);
      watch.reset();
      called.set_value();  // A second call would throw.
    });
  }
  must(reserve(request()));
  called.get_future().get();
  must(release());
}

TEST_F(NativeTest, AWatchMayOutliveTheServer) {
  Recorder recorder;
  const auto watch = server_->watch(10ms, recorder.observer());
  must(reserve(request()));
  server_.reset();
  EXPECT_EQ(recorder.states(),
            (std::vector<std::string>{"reserving", "idle", "releasing", "gone", "lost"}));
}

TEST_F(NativeTest, DestructionCutsAndAnswersWhatIsOpen) {
  const Target app;
  const auto ports = must(reserve(request())).ports;
  must(update(Role::producer, app.endpoint()));
  const net::Fd client = connect_to(at(ports[0]));
  const net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  std::optional<Status> drained;
  std::optional<Cause> asked_late;
  server_->release({"session", Role::producer}, Ending::drain, [&](Status result) {
    drained = std::move(result);
    server_->status({}, [&](const auto& answer) { asked_late = answer.error().cause; });
  });
  delete server_.get();  // Not reset(): the callback above still finds the server by its pointer.
  (void)server_.release();
  ASSERT_TRUE(drained.has_value());
  EXPECT_EQ(drained->error().cause, Cause::cancelled);
  EXPECT_EQ(asked_late, Cause::unavailable);
  EXPECT_EQ(receive(client.get()).error, ECONNRESET);
  EXPECT_EQ(receive(accepted.get()).error, ECONNRESET);
  EXPECT_TRUE(net::bind_tcp(address_of(at(ports[0]))).ok());
}

TEST_F(NativeTest, SharesTheThreadsItIsGiven) {
  net::IoThreads threads(1);
  const int io_threads = thread_count("sci-io");
  const int bookkeeping = thread_count("sci-s2ds");
  {
    NativeDataServer sharing(threads, {}, null_logger());
    EXPECT_EQ(thread_count("sci-io"), io_threads);
    EXPECT_EQ(thread_count("sci-s2ds"), bookkeeping + 1);
    const auto result = wait_for<Reservation>([&](auto done) { sharing.reserve(request(), done); });
    EXPECT_TRUE(result.ok());
  }
  // A joined thread stands in /proc a moment longer.
  EXPECT_TRUE(eventually([&] { return thread_count("sci-s2ds") == bookkeeping; }));
}

TEST_F(NativeTest, AnswersCallersOnManyThreads) {
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&, i] {
      const SessionKey key{"session-" + std::to_string(i), Role::consumer};
      for (int n = 0; n < 25; ++n) {
        ReserveRequest mine = request(Role::consumer, 2);
        mine.session = key;
        EXPECT_TRUE(wait_for<Reservation>([&](auto done) { server_->reserve(mine, done); }).ok());
        EXPECT_TRUE(must(status(key)).at(0).ports.size() == 2);
        EXPECT_TRUE(
            wait_for<void>([&](auto done) { server_->release(key, Ending::cut, done); }).ok());
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_TRUE(must(status()).empty());
}

}  // namespace
}  // namespace scistream::dataserver

#include "dataserver/native.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <optional>
#include <thread>

#include "dataserver/contract.hpp"
#include "dataserver/custom_forwarding.hpp"
#include "dataserver/relay_of_ones_own.hpp"

namespace scistream::dataserver {
namespace {

std::unique_ptr<DataServer> native() {
  return std::make_unique<NativeDataServer>(NativeOptions{2, {net::Ciphersuite::aes_128_gcm}, {}},
                                            null_logger());
}

std::unique_ptr<DataServer> ones_own() {
  auto made = make_custom_data_server(std::make_shared<RelayOfOnesOwn>(), null_logger());
  return std::move(made).value();
}

INSTANTIATE_TEST_SUITE_P(Kinds, Contract,
                         ::testing::Values(Kind{"Native", native}, Kind{"OnesOwn", ones_own}),
                         kind_name);

class NativeTest : public Asking {
 protected:
  NativeTest() { server_ = native(); }
};

TEST_F(NativeTest, SaysWhatItIs) {
  must(reserve(request()));
  const Info info = must(wait_for<Info>([&](auto done) { server_->info(done); }));
  EXPECT_EQ(info.kind, "Native");
  EXPECT_FALSE(info.version.empty());
  EXPECT_EQ(info.transports, (std::vector<std::string>{"tcp", "tls"}));
  EXPECT_EQ(info.sessions, 1U);
}

TEST_F(NativeTest, AnotherDataServersReservationIsAnother) {
  const auto first = must(reserve(request())).id;
  server_ = std::make_unique<NativeDataServer>(
      NativeOptions{1, {net::Ciphersuite::aes_128_gcm}, {}}, null_logger());
  EXPECT_NE(must(reserve(request())).id, first);
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
  std::optional<Result<Released>> drained;
  std::optional<Cause> asked_late;
  server_->release({"session", Role::producer}, Ending::drain, [&](auto result) {
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

}  // namespace
}  // namespace scistream::dataserver

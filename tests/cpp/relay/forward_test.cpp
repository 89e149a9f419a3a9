// What happens to the bytes of one connection.
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include <atomic>
#include <thread>

#include "relay/relay_fixture.hpp"

namespace scistream::relay {
namespace {

using namespace test;

class Forward : public EveryLeg {};

// Protocol: data-unchanged
TEST_P(Forward, SixtyFourMebibytesEachWayArriveUnchanged) {
  constexpr std::size_t size = 64U << 20U;
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  const std::string up = pattern(size, 1);
  const std::string down = pattern(size, 2);
  const auto send = [](int socket, const std::string& bytes) {
    return std::thread([socket, &bytes] {
      send_all(socket, bytes);
      half_close(socket);
    });
  };
  std::thread client_sends = send(stream.client.get(), up);
  std::thread target_sends = send(stream.target.get(), down);
  Received at_target;
  std::thread target_receives([&] { at_target = receive(stream.target.get()); });
  const Received at_client = receive(stream.client.get());
  for (std::thread* thread : {&client_sends, &target_sends, &target_receives}) thread->join();

  EXPECT_EQ(at_client.error, 0);
  EXPECT_EQ(at_target.error, 0);
  EXPECT_TRUE(at_client.bytes == down);
  EXPECT_TRUE(at_target.bytes == up);
  EXPECT_TRUE(eventually([&] { return relay->snapshot().connections_active == 0; }));
  const Snapshot counted = relay->snapshot();
  EXPECT_EQ(counted.bytes_to_target, size);
  EXPECT_EQ(counted.bytes_to_client, size);
  EXPECT_EQ(counted.connections_total, 1U);
  EXPECT_EQ(counted.errors, 0U);
}

// Protocol: half-close, clean-end
TEST_P(Forward, EndOfTheClientsDataLeavesTheOtherWayOpen) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  send_all(stream.client.get(), "question");
  half_close(stream.client.get());
  const Received question = receive(stream.target.get());
  EXPECT_EQ(question.bytes, "question");
  EXPECT_EQ(question.error, 0);
  send_all(stream.target.get(), "answer");
  EXPECT_EQ(receive(stream.client.get(), 6).bytes, "answer");
  stream.target.reset();
  const Received rest = receive(stream.client.get());
  EXPECT_EQ(rest.bytes, "");
  EXPECT_EQ(rest.error, 0);
  EXPECT_TRUE(eventually([&] { return relay->snapshot().connections_active == 0; }));
  EXPECT_EQ(relay->snapshot().errors, 0U);
}

// Protocol: half-close
TEST_P(Forward, EndOfTheTargetsDataLeavesTheOtherWayOpen) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  half_close(stream.target.get());
  EXPECT_EQ(receive(stream.client.get()).error, 0);
  send_all(stream.client.get(), "late");
  EXPECT_EQ(receive(stream.target.get(), 4).bytes, "late");
  stream.client.reset();
  EXPECT_EQ(receive(stream.target.get()).error, 0);
  EXPECT_TRUE(eventually([&] { return relay->snapshot().connections_active == 0; }));
  EXPECT_EQ(relay->snapshot().errors, 0U);
}

TEST_P(Forward, DataAndEndSentBeforeTheTargetAnswersArriveWhole) {
  Target target("127.0.0.1", false);
  const auto relay = forward_to({target.endpoint()});
  net::Fd client = connect_to(relay->listeners()[0]);
  const std::string sent = pattern(64U << 10U, 3);
  send_all(client.get(), sent);
  half_close(client.get());
  ASSERT_TRUE(eventually([&] { return relay->snapshot().connections_active == 1; }));
  target.listen();
  const net::Fd accepted = target.accept();
  ASSERT_TRUE(accepted);
  const Received received = receive(accepted.get());
  EXPECT_TRUE(received.bytes == sent);
  EXPECT_EQ(received.error, 0);
}

// Protocol: clean-end, reset-passed-on
TEST_P(Forward, ResetByTheTargetReachesTheClient) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  reset(stream.target);
  EXPECT_EQ(receive(stream.client.get()).error, ECONNRESET);
  EXPECT_TRUE(eventually([&] { return relay->snapshot().errors == 1; }));
}

TEST_P(Forward, ResetRightAfterTheTargetAnsweredIsNoReasonToDialAgain) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  for (std::uint64_t i = 1; i <= 100; ++i) {
    const net::Fd client = connect_to(relay->listeners()[0]);
    net::Fd accepted = target.accept();
    reset(accepted);
    ASSERT_EQ(receive(client.get()).error, ECONNRESET);
    ASSERT_TRUE(eventually([&] { return relay->snapshot().errors == i; }));
  }
}

// Protocol: reset-passed-on
TEST_P(Forward, ResetByTheClientReachesTheTarget) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  reset(stream.client);
  EXPECT_EQ(receive(stream.target.get()).error, ECONNRESET);
}

// Protocol: clean-end, reset-passed-on
TEST_P(Forward, ResetAfterTheEndOfOneWayIsAReset) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  half_close(stream.client.get());
  EXPECT_EQ(receive(stream.target.get()).error, 0);
  reset(stream.target);
  EXPECT_EQ(receive(stream.client.get()).error, ECONNRESET);
}

/// Sends until nothing more is taken; returns how much was.
std::size_t send_until_blocked(int socket) {
  const std::string chunk = pattern(256U << 10U, 4);
  std::size_t sent = 0;
  // The relay keeps taking bytes for a moment after the socket first blocks.
  while (poll_for(socket, POLLOUT, 500ms) == 1) {
    const ssize_t n = ::send(socket, chunk.data(), chunk.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) sent += static_cast<std::size_t>(n);
  }
  return sent;
}

TEST_P(Forward, ResetOfASideThatHasEndedReachesTheOneThatOnlyListens) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  for (const bool by_target : {true, false}) {
    Stream stream = stream_through(*relay, target);
    net::Fd& ends = by_target ? stream.target : stream.client;
    net::Fd& listens = by_target ? stream.client : stream.target;
    half_close(ends.get());
    EXPECT_EQ(receive(listens.get()).error, 0);  // the end of the data
    reset(ends);
    // Says nothing, so nothing but the reset can tell it.
    EXPECT_EQ(poll_for(listens.get(), POLLERR), 1);
    EXPECT_TRUE(eventually([&] { return relay->snapshot().connections_active == 0; }));
  }
}

TEST_P(Forward, ASlowReaderBlocksItsSenderAndNobodyElse) {
  const Target target;
  Options options;
  options.pipe_bytes = 256U << 10U;
  const auto relay = forward_to({target.endpoint()}, options);
  Stream slow = stream_through(*relay, target);
  const std::size_t sent = send_until_blocked(slow.client.get());
  // What four socket buffers and one pipe hold, not what a relay might gather.
  EXPECT_LT(sent, 64U << 20U);
  EXPECT_LE(relay->snapshot().bytes_to_target, sent);
  for (int i = 0; i < 4; ++i) {  // More than there are threads: some share the slow one's.
    Stream other = stream_through(*relay, target);
    send_all(other.client.get(), "quick");
    EXPECT_EQ(receive(other.target.get(), 5).bytes, "quick");
  }
  half_close(slow.client.get());
  const Received received = receive(slow.target.get());
  EXPECT_EQ(received.bytes.size(), sent);
  EXPECT_EQ(received.error, 0);
}

TEST_P(Forward, ResetOfABlockedSenderReachesTheSlowReader) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  send_until_blocked(stream.client.get());
  reset(stream.client);
  EXPECT_TRUE(eventually([&] { return relay->snapshot().connections_active == 0; }));
  EXPECT_EQ(receive(stream.target.get()).error, ECONNRESET);
}

TEST_P(Forward, ResetOfASlowReaderReachesTheBlockedSender) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  send_until_blocked(stream.client.get());
  reset(stream.target);
  EXPECT_EQ(receive(stream.client.get()).error, ECONNRESET);
}

TEST_P(Forward, ABulkStreamLeavesTurnsToTheOthersOfItsThread) {
  net::IoThreads one(1);
  const Target target;
  const auto relay = forward_to({target.endpoint()}, {}, &one);
  Stream bulk = stream_through(*relay, target);
  Stream ping = stream_through(*relay, target);
  std::atomic<bool> stop{false};
  std::thread sender([&] {
    const std::string chunk = pattern(1U << 20U, 7);
    while (!stop) send_all(bulk.client.get(), chunk);
    half_close(bulk.client.get());
  });
  std::thread sink([&] {
    while (::recv(bulk.target.get(), nullptr, 16U << 20U, MSG_TRUNC) > 0) {
    }
  });
  ASSERT_TRUE(eventually([&] { return relay->snapshot().bytes_to_target > 16U << 20U; }));
  for (int i = 0; i < 20; ++i) {
    send_all(ping.client.get(), "ping");
    EXPECT_EQ(receive(ping.target.get(), 4).bytes, "ping");
  }
  stop = true;
  sender.join();
  sink.join();
}

TEST_P(Forward, ManySmallSegmentsArriveInOrder) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  const int on = 1;
  ::setsockopt(stream.client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const std::string sent = pattern(256U << 10U, 5);
  std::thread sender([&] {
    // Far more segments than a pipe has pages.
    for (std::size_t i = 0; i < sent.size(); i += 37) {
      send_all(stream.client.get(), std::string_view(sent).substr(i, 37));
    }
    half_close(stream.client.get());
  });
  const Received received = receive(stream.target.get());
  sender.join();
  EXPECT_TRUE(received.bytes == sent);
}

TEST_P(Forward, TheEndOfABurstIsNotHeldBack) {
  // Bulk is read in batches; what is too little for one has to come out all the same, with nothing
  // behind it.
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  for (std::size_t burst = 1; burst <= 12; ++burst) {
    const std::string sent = pattern((3U << 20U) + burst * 7919, burst);
    std::thread sender([&] { send_all(stream.client.get(), sent); });
    const Received received = receive(stream.target.get(), sent.size());
    sender.join();
    ASSERT_TRUE(received.bytes == sent) << burst;
    send_all(stream.target.get(), "thanks");
    ASSERT_EQ(receive(stream.client.get(), 6).bytes, "thanks");
  }
}

TEST_P(Forward, UrgentDataStaysInTheStream) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  send_all(stream.client.get(), "before");
  ASSERT_EQ(::send(stream.client.get(), "!", 1, MSG_OOB), 1);
  EXPECT_EQ(receive(stream.target.get(), 7).bytes, "before!");
  send_all(stream.client.get(), "after");
  EXPECT_EQ(receive(stream.target.get(), 5).bytes, "after");
  half_close(stream.client.get());
  EXPECT_EQ(receive(stream.target.get()).error, 0);
}

TEST_P(Forward, WorksOverIpv6) {
  std::unique_ptr<Target> target;
  try {
    target = std::make_unique<Target>("::1");
  } catch (const std::exception&) {
    GTEST_SKIP() << "no IPv6 here";
  }
  const auto relay =
      must(Relay::open(threads_, {{{"::1", 0}, target->endpoint()}}, {}, null_logger()));
  Stream stream = stream_through(*relay, *target);
  send_all(stream.client.get(), "hello");
  EXPECT_EQ(receive(stream.target.get(), 5).bytes, "hello");
  EXPECT_EQ(relay->connections().at(0).target, to_string(target->endpoint()));
}

TEST_P(Forward, ResolvesTheTargetsName) {
  const Target target;
  const auto relay = forward_to({{"localhost", target.endpoint().port}});
  Stream stream = stream_through(*relay, target);
  send_all(stream.target.get(), "hello");
  EXPECT_EQ(receive(stream.client.get(), 5).bytes, "hello");
}

TEST_P(Forward, CopiesWhereThereAreNoDescriptorsForPipes) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  const std::string sent = pattern(8U << 20U, 6);
  const NoMoreDescriptors none;
  std::thread sender([&] {
    send_all(stream.client.get(), sent);
    half_close(stream.client.get());
  });
  const Received received = receive(stream.target.get());
  sender.join();
  EXPECT_TRUE(received.bytes == sent);
  EXPECT_EQ(received.error, 0);
}

TEST_P(Forward, TwoThousandIdleConnectionsOwnNoPipes) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  const int before = open_descriptors("pipe:");
  std::vector<Stream> streams;
  for (int i = 0; i < 2000; ++i) {
    streams.push_back(stream_through(*relay, target));
    send_all(streams.back().client.get(), "x");
    ASSERT_EQ(receive(streams.back().target.get(), 1).bytes, "x");
  }
  EXPECT_EQ(relay->connections().size(), 2000U);
  // Each thread keeps a few for the next chunk: 16 pipes, two ends each.
  EXPECT_TRUE(eventually([&] { return open_descriptors("pipe:") - before <= 2 * 2 * 16; }));
}

INSTANTIATE_TEST_SUITE_P(Legs, Forward, every_leg, EveryLeg::name);

}  // namespace
}  // namespace scistream::relay

// Listeners, targets and endings.
#include "relay/relay.hpp"

#include <atomic>
#include <thread>

#include "relay/relay_fixture.hpp"

namespace scistream::relay {
namespace {

using namespace test;

class RelayTest : public RelayFixture {};

TEST_F(RelayTest, ReportsWhereItListens) {
  const Target target;
  const auto relay = forward_to({target.endpoint(), target.endpoint()});
  const auto bound = relay->listeners();
  ASSERT_EQ(bound.size(), 2U);
  EXPECT_EQ(bound[0].host, "127.0.0.1");
  EXPECT_NE(bound[0].port, 0);
  EXPECT_NE(bound[0].port, bound[1].port);
}

TEST_F(RelayTest, OpenNamesTheListenerThatIsTaken) {
  const Target taken;
  const auto relay =
      Relay::open(threads_, {{taken.endpoint(), {"127.0.0.1", 9}}}, {}, null_logger());
  ASSERT_FALSE(relay.ok());
  EXPECT_EQ(relay.error().cause, Cause::already_exists);
  EXPECT_NE(relay.error().message.find(to_string(taken.endpoint())), std::string::npos);
}

TEST_F(RelayTest, RefusesUntilItHasTargets) {
  const Target target;
  const auto relay = make(Mode::refuse);
  EXPECT_EQ(relay->mode(), Mode::refuse);
  EXPECT_EQ(connect_error(relay->listeners()[0]), ECONNREFUSED);
  must(relay->retarget({target.endpoint()}));
  EXPECT_EQ(relay->mode(), Mode::forward);
  Stream stream = stream_through(*relay, target);
  send_all(stream.client.get(), "now");
  EXPECT_EQ(receive(stream.target.get(), 3).bytes, "now");
}

TEST_F(RelayTest, HoldsUntilItHasTargets) {
  const Target target;
  const auto relay = make(Mode::hold);
  const net::Fd client = connect_to(relay->listeners()[0]);
  send_all(client.get(), "early");
  EXPECT_EQ(relay->snapshot().connections_total, 0U);
  must(relay->retarget({target.endpoint()}));
  const net::Fd accepted = target.accept();
  ASSERT_TRUE(accepted);
  EXPECT_EQ(receive(accepted.get(), 5).bytes, "early");
}

// Protocol: listener-feeds-target
TEST_F(RelayTest, ListenerFeedsTargetModuloTheirNumber) {
  const Target first;
  const Target second;
  const auto relay = make(Mode::refuse, 5);
  must(relay->retarget({first.endpoint(), second.endpoint()}));
  const auto bound = relay->listeners();
  for (std::size_t i = 0; i < bound.size(); ++i) {
    const net::Fd client = connect_to(bound[i]);
    EXPECT_TRUE((i % 2 == 0 ? first : second).accept()) << i;
  }
}

// Protocol: extra-targets-ignored
TEST_F(RelayTest, MoreTargetsThanListenersIsNoError) {
  const Target first;
  const Target unused;
  const auto relay = make(Mode::refuse);
  must(relay->retarget({first.endpoint(), unused.endpoint()}));
  const net::Fd client = connect_to(relay->listeners()[0]);
  EXPECT_TRUE(first.accept());
}

// Protocol: update-again
TEST_F(RelayTest, RetargetMovesNewConnectionsOnly) {
  const Target before;
  const Target after;
  const auto relay = forward_to({before.endpoint()});
  Stream old = stream_through(*relay, before);
  must(relay->retarget({after.endpoint()}));
  Stream young = stream_through(*relay, after);
  send_all(old.client.get(), "old");
  send_all(young.client.get(), "new");
  EXPECT_EQ(receive(old.target.get(), 3).bytes, "old");
  EXPECT_EQ(receive(young.target.get(), 3).bytes, "new");
}

TEST_F(RelayTest, RefusesAnEmptyListOfTargets) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  EXPECT_EQ(relay->retarget({}).error().cause, Cause::invalid_argument);
  Stream stream = stream_through(*relay, target);
  EXPECT_TRUE(stream.target);
}

// Protocol: late-application
TEST_F(RelayTest, DialsATargetThatStartsLater) {
  Target target("127.0.0.1", false);
  const auto relay = forward_to({target.endpoint()});
  const net::Fd client = connect_to(relay->listeners()[0]);
  send_all(client.get(), "patience");
  ASSERT_TRUE(eventually([&] { return relay->connections().size() == 1; }));
  EXPECT_EQ(relay->connections()[0].target, "");
  target.listen();
  const net::Fd accepted = target.accept();
  ASSERT_TRUE(accepted);
  EXPECT_EQ(receive(accepted.get(), 8).bytes, "patience");
  ASSERT_EQ(relay->connections().size(), 1U);
  EXPECT_EQ(relay->connections()[0].target, to_string(target.endpoint()));
}

// Protocol: absent-application
TEST_F(RelayTest, ResetsTheClientWhenTheDialDeadlinePasses) {
  const Target target("127.0.0.1", false);
  Options options;
  options.dial_deadline = 100ms;
  const auto relay = forward_to({target.endpoint()}, options);
  const net::Fd client = connect_to(relay->listeners()[0]);
  EXPECT_EQ(receive(client.get()).error, ECONNRESET);
  EXPECT_TRUE(eventually([&] { return relay->snapshot().connections_active == 0; }));
  EXPECT_EQ(relay->snapshot().errors, 1U);
}

TEST_F(RelayTest, DropsTheDialOfAClientThatResets) {
  const Target target("127.0.0.1", false);
  const auto relay = forward_to({target.endpoint()});
  net::Fd client = connect_to(relay->listeners()[0]);
  ASSERT_TRUE(eventually([&] { return relay->snapshot().connections_active == 1; }));
  reset(client);
  EXPECT_TRUE(eventually([&] { return relay->snapshot().connections_active == 0; }));
  EXPECT_EQ(relay->snapshot().errors, 1U);
}

TEST_F(RelayTest, NeverMeetsItselfWhereNobodyListens) {
  // A port of the ephemeral range, free: a dial of it may pick it as its own source.
  Endpoint nobody;
  {
    const Target gone("127.0.0.1", false);
    nobody = gone.endpoint();
  }
  Options options;
  options.dial_deadline = 200ms;
  options.dial_backoff_first = options.dial_backoff_last = 1ms;
  const auto relay = forward_to({nobody}, options);
  const net::Fd client = connect_to(relay->listeners()[0]);
  send_all(client.get(), "echo?");
  EXPECT_EQ(receive(client.get()).error, ECONNRESET);
}

TEST_F(RelayTest, AcceptsAgainAfterDescriptorsRanOut) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  const Endpoint listener = relay->listeners()[0];
  net::Fd first = make_socket(listener);
  net::Fd second = make_socket(listener);
  {
    const NoMoreDescriptors none;
    ASSERT_EQ(connect_socket(first.get(), listener), 0);
    ASSERT_EQ(connect_socket(second.get(), listener), 0);
    EXPECT_NE(poll_for(first.get(), POLLIN, 100ms), 1);  // It waits, it is not reset.
  }
  for (const net::Fd* client : {&first, &second}) {
    send_all(client->get(), "made it");
  }
  for (int i = 0; i < 2; ++i) {
    const net::Fd accepted = target.accept();
    ASSERT_TRUE(accepted);
    EXPECT_EQ(receive(accepted.get(), 7).bytes, "made it");
  }
}

TEST_F(RelayTest, CutResetsEveryConnectionAndFreesThePort) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  const Endpoint listener = relay->listeners()[0];
  std::vector<Stream> streams;
  for (int i = 0; i < 8; ++i) {
    streams.push_back(stream_through(*relay, target));
    send_all(streams.back().target.get(), "x");
    EXPECT_EQ(receive(streams.back().client.get(), 1).bytes, "x");
  }
  ASSERT_TRUE(comes(cut(*relay)));
  EXPECT_EQ(relay->snapshot().connections_active, 0U);
  EXPECT_TRUE(relay->connections().empty());
  EXPECT_TRUE(net::bind_tcp(address_of(listener)).ok());
  for (Stream& stream : streams) {
    EXPECT_EQ(receive(stream.client.get()).error, ECONNRESET);
    EXPECT_EQ(receive(stream.target.get()).error, ECONNRESET);
  }
  EXPECT_EQ(relay->retarget({target.endpoint()}).error().cause, Cause::failed_precondition);
  EXPECT_TRUE(comes(cut(*relay)));  // Repeated.
}

TEST_F(RelayTest, CutResetsClientsThatAreHeldOrDialled) {
  const Target deaf("127.0.0.1", false);
  const auto holding = make(Mode::hold);
  const auto dialling = forward_to({deaf.endpoint()});
  for (Relay* relay : {holding.get(), dialling.get()}) {
    const net::Fd client = connect_to(relay->listeners()[0]);
    ASSERT_TRUE(comes(cut(*relay)));
    EXPECT_EQ(receive(client.get()).error, ECONNRESET);
  }
}

TEST_F(RelayTest, DrainClosesListenersAndWaitsForTheLastConnection) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  const Endpoint listener = relay->listeners()[0];
  Stream stream = stream_through(*relay, target);
  const auto drained = drain(*relay);
  // Not probed by connecting: a probe that is just in time would be one more connection.
  EXPECT_TRUE(eventually([&] { return net::bind_tcp(address_of(listener)).ok(); }));
  EXPECT_EQ(connect_error(listener), ECONNREFUSED);
  send_all(stream.client.get(), "last words");
  EXPECT_EQ(receive(stream.target.get(), 10).bytes, "last words");
  EXPECT_NE(drained.wait_for(0s), std::future_status::ready);
  stream.client.reset();
  stream.target.reset();
  EXPECT_TRUE(comes(drained));
  EXPECT_EQ(relay->snapshot().errors, 0U);
}

TEST_F(RelayTest, CutEndsADrain) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  const auto drained = drain(*relay);
  const auto was_cut = cut(*relay);
  EXPECT_TRUE(comes(drained));
  EXPECT_TRUE(comes(was_cut));
  EXPECT_EQ(receive(stream.client.get()).error, ECONNRESET);
}

TEST_F(RelayTest, DestructionResetsConnections) {
  const Target target;
  auto relay = forward_to({target.endpoint()});
  Stream stream = stream_through(*relay, target);
  relay.reset();
  EXPECT_EQ(receive(stream.client.get()).error, ECONNRESET);
  EXPECT_EQ(receive(stream.target.get()).error, ECONNRESET);
}

TEST_F(RelayTest, EndOfTheIoThreadsResetsWhatIsLeft) {
  const Target target;
  Stream stream;
  {
    net::IoThreads threads(2);
    const auto relay =
        must(Relay::open(threads, {{{"127.0.0.1", 0}, target.endpoint()}}, {}, null_logger()));
    stream = stream_through(*relay, target);
  }
  EXPECT_EQ(receive(stream.client.get()).error, ECONNRESET);
  EXPECT_EQ(receive(stream.target.get()).error, ECONNRESET);
}

TEST_F(RelayTest, FourThousandListenersWork) {
  const Target target;
  const auto relay = make(Mode::refuse, 4096);
  must(relay->retarget({target.endpoint()}));
  const auto bound = relay->listeners();
  ASSERT_EQ(bound.size(), 4096U);
  for (const std::size_t i : {0U, 2048U, 4095U}) {
    const net::Fd client = connect_to(bound[i]);
    EXPECT_TRUE(target.accept()) << i;
  }
  EXPECT_TRUE(comes(cut(*relay)));
}

TEST_F(RelayTest, SpreadsConnectionsAndTellsThemApart) {
  const Target target;
  const auto relay = forward_to({target.endpoint()});
  Stream first = stream_through(*relay, target);
  Stream second = stream_through(*relay, target);
  send_all(first.client.get(), "one");
  send_all(second.target.get(), "four");
  EXPECT_EQ(receive(first.target.get(), 3).bytes, "one");
  EXPECT_EQ(receive(second.client.get(), 4).bytes, "four");
  ASSERT_TRUE(eventually([&] {
    const Snapshot s = relay->snapshot();
    return s.bytes_to_target == 3 && s.bytes_to_client == 4;
  }));
  const auto list = relay->connections();
  ASSERT_EQ(list.size(), 2U);
  EXPECT_NE(list[0].id, list[1].id);
  const auto peer =
      net::to_endpoint([&] { return must(net::bound_address(first.client.get())); }());
  const auto& of_first = list[0].peer == to_string(peer) ? list[0] : list[1];
  EXPECT_EQ(of_first.peer, to_string(peer));
  EXPECT_EQ(of_first.bytes_to_target, 3U);
  EXPECT_EQ(of_first.bytes_to_client, 0U);
}

TEST_F(RelayTest, SurvivesClientsThatComeAndGoWhileItIsCut) {
  const Target target;
  std::atomic<bool> stop{false};
  std::thread taker([&] {
    while (!stop) {
      const net::Fd accepted = target.accept(10ms);
      if (accepted) (void)::send(accepted.get(), "x", 1, MSG_NOSIGNAL);
    }
  });
  for (int round = 0; round < 20; ++round) {
    const auto relay = forward_to({target.endpoint()});
    const Endpoint listener = relay->listeners()[0];
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([&, i] {
        for (int n = 0; n < 25; ++n) {
          net::Fd client = make_socket(listener);
          if (connect_socket(client.get(), listener) != 0) return;
          if (n % 3 == i % 3) {
            reset(client);
          } else {
            // Linux may lose the reset of a client that connects while the listener closes; one
            // that says something is always answered.
            (void)::send(client.get(), "x", 1, MSG_NOSIGNAL);
            EXPECT_NE(receive(client.get(), 1).error, ETIMEDOUT) << round << ' ' << n;
          }
        }
      });
    }
    (void)relay->connections();
    const auto was_cut = round % 2 == 0 ? cut(*relay) : drain(*relay);
    for (std::thread& client : clients) client.join();
    EXPECT_TRUE(comes(was_cut));
  }
  stop = true;
  taker.join();
}

}  // namespace
}  // namespace scistream::relay

#pragma once

// What every kind of data server does, whatever forwards for it. A test program names its kinds
// with INSTANTIATE_TEST_SUITE_P(Kinds, Contract, …, kind_name).

#include "dataserver/asking.hpp"

namespace scistream::dataserver {

class Contract : public Asking, public ::testing::WithParamInterface<Kind> {
 protected:
  void SetUp() override {
    skip_or_fail(GetParam().lacks);
    if (IsSkipped() || HasFailure()) return;
    transport_ = GetParam().transport;
    server_ = GetParam().make();
  }
};

TEST_P(Contract, ProducerListenersRefuseUntilUpdate) {
  const Target app;
  const auto ports = must(reserve(request(Role::producer, 2))).ports;
  ASSERT_EQ(ports.size(), 2U);
  for (const auto port : ports) EXPECT_EQ(connect_error(at(port)), ECONNREFUSED);
  must(update(Role::producer, app.endpoint()));
  const net::Fd client = connect_to(reach(ports[1]));
  const net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  send_all(accepted.get(), "image");
  EXPECT_EQ(receive(client.get(), 5).bytes, "image");
}

TEST_P(Contract, ConsumerListenersHoldUntilUpdate) {
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

TEST_P(Contract, BothSidesOfAnEncryptedSessionProveItsKey) {
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

TEST_P(Contract, AnotherUpdateReplacesTheKey) {
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

TEST_P(Contract, CountsBytesTowardsConsumerAndProducer) {
  const Target app;
  for (const Role role : {Role::producer, Role::consumer}) {
    const auto ports = must(reserve(request(role))).ports;
    must(update(role, app.endpoint()));
    const net::Fd client = connect_to(reach(ports[0], role));
    const net::Fd accepted = app.accept();
    ASSERT_TRUE(accepted);
    send_all(accepted.get(), "image");
    EXPECT_EQ(receive(client.get(), 5).bytes, "image");
    send_all(client.get(), "go");
    EXPECT_EQ(receive(accepted.get(), 2).bytes, "go");
    SessionStatus now;
    ASSERT_TRUE(eventually([&] {
      now = must(status(SessionKey{"session", role})).at(0);
      return now.counters.bytes_to_consumer == 5 && now.counters.bytes_to_producer == 2 &&
             now.connections.size() == 1 && now.connections[0].bytes_to_consumer == 5 &&
             now.connections[0].bytes_to_producer == 2;
    })) << now.counters.bytes_to_consumer
        << " " << now.counters.bytes_to_producer << " " << now.connections.size();
    EXPECT_EQ(now.counters.connections_active, 1U);
    EXPECT_EQ(now.ports, ports);
    EXPECT_EQ(now.targets, std::vector<Endpoint>{lead(app.endpoint(), role)});
    EXPECT_EQ(now.transport, transport_);
    EXPECT_EQ(now.state, State::idle);
    ASSERT_EQ(now.connections.size(), 1U);
    const ConnectionStatus& connection = now.connections[0];
    EXPECT_EQ(connection.port, ports[0]);
    EXPECT_EQ(connection.target, to_string(now.targets[0]));
    if (reach(ports[0], role) == at(ports[0])) {
      EXPECT_EQ(connection.peer,
                to_string(net::to_endpoint(must(net::bound_address(client.get())))));
    }
    EXPECT_EQ(connection.bytes_to_consumer, 5U);
    EXPECT_EQ(connection.bytes_to_producer, 2U);
  }
  const auto all = must(status());
  ASSERT_EQ(all.size(), 2U);
  EXPECT_TRUE(all[0].connections.empty());
}

TEST_P(Contract, ReserveAgainAnswersTheSame) {
  const auto first = must(reserve(request(Role::producer, 3)));
  EXPECT_EQ(must(reserve(request(Role::producer, 3))).ports, first.ports);
  const auto other = reserve(request(Role::producer, 4));
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().cause, Cause::already_exists);
  EXPECT_EQ(must(status()).size(), 1U);
}

TEST_P(Contract, ASessionOfTheSameKeyIsAnotherReservation) {
  const auto first = must(reserve(request()));
  EXPECT_EQ(must(reserve(request())).id, first.id);
  must(release());
  const auto second = must(reserve(request()));
  EXPECT_NE(second.id, first.id);
  EXPECT_EQ(must(status()).front().reservation, second.id);
}

TEST_P(Contract, RolesOfOneIdAreTwoSessions) {
  const auto producer = must(reserve(request(Role::producer))).ports;
  const auto consumer = must(reserve(request(Role::consumer))).ports;
  EXPECT_NE(producer, consumer);
  must(release(Role::producer));
  ASSERT_EQ(must(status()).size(), 1U);
  EXPECT_EQ(must(status())[0].session.role, Role::consumer);
}

TEST_P(Contract, ReserveBeyondTheRangeIsExhaustedAndKeepsNothing) {
  const auto result = reserve(request(Role::producer, 17));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().cause, Cause::exhausted);
  EXPECT_EQ(result.error().message,
            "17 listeners wanted, 16 of range " + to_string(range_) + " are free");
  EXPECT_TRUE(must(status()).empty());
  EXPECT_EQ(must(reserve(request(Role::producer, 16))).ports.size(), 16U);
}

TEST_P(Contract, SkipsPortsHeldByOthers) {
  const net::Fd other = must(net::bind_tcp(address_of(at(range_.first))));
  const auto ports = must(reserve(request(Role::producer, 15))).ports;
  EXPECT_EQ(std::count(ports.begin(), ports.end(), range_.first), 0);
}

TEST_P(Contract, RestoresExactPorts) {
  ReserveRequest exact = request(Role::producer, 2);
  exact.exact_ports = {range_.last, range_.first};
  EXPECT_EQ(must(reserve(exact)).ports, exact.exact_ports);
  exact.session.uid = "another";
  EXPECT_EQ(reserve(exact).error().cause, Cause::exhausted);
}

TEST_P(Contract, RefusesRequestsThatCannotWork) {
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
  UpdateRequest unknown = request(Role::producer, {at(1)});
  unknown.session.uid = "unknown";
  EXPECT_EQ(update(unknown).error().cause, Cause::not_found);
  EXPECT_EQ(status(SessionKey{"unknown", Role::producer}).error().cause, Cause::not_found);
}

TEST_P(Contract, ReleaseReturnsEveryPort) {
  const Target app;
  const auto ports = must(reserve(request(Role::producer, 16))).ports;
  must(update(Role::producer, app.endpoint()));
  const net::Fd client = connect_to(reach(ports[0]));
  const net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  must(release());
  for (const auto& end : {std::cref(client), std::cref(accepted)}) {
    const int seen = receive(end.get().get()).error;
    EXPECT_TRUE(seen == ECONNRESET || (seen == 0 && !GetParam().resets)) << seen;
  }
  for (const auto port : ports) EXPECT_TRUE(net::bind_tcp(address_of(at(port))).ok()) << port;
  EXPECT_TRUE(must(status()).empty());
}

TEST_P(Contract, ReleaseOfAnUnknownSessionSucceeds) {
  EXPECT_FALSE(must(release()));
  must(reserve(request()));
  EXPECT_TRUE(must(release()));
  EXPECT_FALSE(must(release()));
}

TEST_P(Contract, DrainWaitsForTheLastConnection) {
  const Target app;
  Recorder recorder;
  const auto watch = server_->watch(1h, recorder.observer());
  const auto ports = must(reserve(request())).ports;
  must(update(Role::producer, app.endpoint()));
  net::Fd client = connect_to(reach(ports[0]));
  net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  std::promise<Result<Released>> drained;
  server_->release({"session", Role::producer}, Ending::drain,
                   [&](auto result) { drained.set_value(std::move(result)); });
  EXPECT_EQ(must(status()).at(0).state, State::releasing);
  EXPECT_EQ(reserve(request()).error().cause, Cause::failed_precondition);
  EXPECT_EQ(update(Role::producer, app.endpoint()).error().cause, Cause::failed_precondition);
  EXPECT_TRUE(eventually([&] { return is_turned_away(reach(ports[0])); }));
  // Who came before it had heard.
  while (app.accept(std::chrono::milliseconds(0))) {
  }
  send_all(accepted.get(), "rest");
  EXPECT_EQ(receive(client.get(), 4).bytes, "rest");
  auto future = drained.get_future();
  EXPECT_NE(future.wait_for(0s), std::future_status::ready);
  client.reset();
  accepted.reset();
  ASSERT_EQ(future.wait_for(patience), std::future_status::ready);
  // What moved meanwhile has been counted.
  EXPECT_EQ(must(future.get()).value().counters.bytes_to_consumer, 4U);
  EXPECT_TRUE(recorder.has([](const Event& e) { return e.kind == Event::Kind::gone; }));
  EXPECT_EQ(recorder.events().back().status.counters.bytes_to_consumer, 4U);
}

TEST_P(Contract, ADrainDoesNotWaitForWhatNobodyCanTake) {
  const Target app;
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, app.endpoint()));
  const net::Fd client = connect_to(reach(port));
  net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  // One application goes amid it all, and the other side neither reads nor ends.
  send_until_full(client.get());
  send_until_full(accepted.get());
  accepted.reset();
  EXPECT_TRUE(release(Role::producer, Ending::drain).ok());
}

TEST_P(Contract, CutEndsADrainAndAnswersBoth) {
  const Target app;
  const auto ports = must(reserve(request())).ports;
  must(update(Role::producer, app.endpoint()));
  const net::Fd client = connect_to(reach(ports[0]));
  ASSERT_TRUE(app.accept());
  std::promise<Result<Released>> drained;
  server_->release({"session", Role::producer}, Ending::drain,
                   [&](auto result) { drained.set_value(std::move(result)); });
  EXPECT_TRUE(release().ok());
  EXPECT_TRUE(drained.get_future().get().ok());
}

TEST_P(Contract, WatchDeliversEveryState) {
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

TEST_P(Contract, WatchTellsWhyAReserveFailed) {
  Recorder recorder;
  const auto watch = server_->watch(1h, recorder.observer());
  const auto failed = reserve(request(Role::producer, 17));
  ASSERT_TRUE(recorder.has([](const Event& e) { return e.kind == Event::Kind::gone; }));
  EXPECT_EQ(recorder.states(), (std::vector<std::string>{"reserving", "releasing", "gone"}));
  EXPECT_EQ(recorder.events()[1].detail, failed.error().message);
}

TEST_P(Contract, AnswersCallersOnManyThreads) {
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
            wait_for<Released>([&](auto done) { server_->release(key, Ending::cut, done); }).ok());
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_TRUE(must(status()).empty());
}

// Protocol: data-unchanged
TEST_P(Contract, StreamsArriveWholeBothWaysAtOnce) {
  const Target app;
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, app.endpoint()));
  const net::Fd client = connect_to(reach(port));
  const net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  const std::string there = pattern(20U << 20U, 1);
  const std::string back = pattern(10U << 20U, 2);
  std::thread sends([&] {
    send_all(client.get(), there);
    half_close(client.get());
  });
  std::thread answers([&] {
    send_all(accepted.get(), back);
    half_close(accepted.get());
  });
  const auto expect = [](const Received& got, const std::string& sent) {
    EXPECT_EQ(got.error, 0);
    EXPECT_EQ(got.bytes.size(), sent.size());
    EXPECT_TRUE(got.bytes == sent);
  };
  std::thread reads([&] { expect(receive(client.get()), back); });
  expect(receive(accepted.get()), there);
  for (std::thread* each : {&sends, &answers, &reads}) each->join();
}

// Protocol: half-close
TEST_P(Contract, OneDirectionMayEndLongBeforeTheOther) {
  const Target app;
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, app.endpoint()));
  const net::Fd client = connect_to(reach(port));
  const net::Fd accepted = app.accept();
  ASSERT_TRUE(accepted);
  send_all(client.get(), "all of the question");
  half_close(client.get());
  EXPECT_EQ(receive(accepted.get()).bytes, "all of the question");
  const std::string answer = pattern(5U << 20U, 3);
  std::thread answers([&] {
    send_all(accepted.get(), answer);
    half_close(accepted.get());
  });
  const auto got = receive(client.get()).bytes;
  // Once both directions are closed stunnel reads no more (5.68, "Read socket closed (HUP)").
  const bool may_lack_the_end = std::string_view(GetParam().transport) == transport::tls;
  EXPECT_TRUE(got == answer || (may_lack_the_end && answer.starts_with(got)))
      << got.size() << " of " << answer.size();
  answers.join();
}

// Protocol: update-again
TEST_P(Contract, NewTargetsAreForNewConnections) {
  const Target first;
  const Target second;
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, first.endpoint()));
  const net::Fd old_client = connect_to(reach(port));
  const net::Fd old_side = first.accept();
  ASSERT_TRUE(old_side);
  must(update(Role::producer, second.endpoint()));
  const net::Fd new_client = connect_to(reach(port));
  const net::Fd new_side = second.accept();
  ASSERT_TRUE(new_side);
  send_all(old_client.get(), "stays");
  EXPECT_EQ(receive(old_side.get(), 5).bytes, "stays");
  send_all(new_side.get(), "new");
  EXPECT_EQ(receive(new_client.get(), 3).bytes, "new");
}

TEST_P(Contract, WhatIsUnderWaySurvivesNewTargets) {
  const Target first;
  const Target second;
  const auto port = must(reserve(request())).ports.at(0);
  must(update(Role::producer, first.endpoint()));
  const net::Fd client = connect_to(reach(port));
  const net::Fd accepted = first.accept();
  ASSERT_TRUE(accepted);
  const std::string bytes = pattern(20U << 20U, 4);
  std::thread sends([&] {
    send_all(accepted.get(), bytes);
    half_close(accepted.get());
  });
  for (int i = 0; i < 5; ++i)
    must(update(Role::producer, (i % 2 == 0 ? second : first).endpoint()));
  EXPECT_TRUE(receive(client.get()).bytes == bytes);
  sends.join();
}

// Protocol: listener-feeds-target
TEST_P(Contract, ListenersTakeTheTargetsInTurn) {
  const Target first;
  const Target second;
  const auto ports = must(reserve(request(Role::consumer, 3))).ports;
  must(update(request(Role::consumer, {first.endpoint(), second.endpoint()})));
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const net::Fd client = connect_to(at(ports[i]));
    EXPECT_TRUE((i % 2 == 0 ? first : second).accept());
  }
}

}  // namespace scistream::dataserver

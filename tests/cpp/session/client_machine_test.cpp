#include "session/client_machine.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <vector>

namespace scistream::session {
namespace {

constexpr ClientInput all_inputs[] = {ClientInput::start,
                                      ClientInput::producer_answered,
                                      ClientInput::consumer_answered,
                                      ClientInput::mapped,
                                      ClientInput::producer_updated,
                                      ClientInput::consumer_updated,
                                      ClientInput::fail,
                                      ClientInput::release,
                                      ClientInput::producer_released,
                                      ClientInput::consumer_released};

std::vector<ClientAction> must(ClientMachine& machine, ClientInput input) {
  auto actions = machine.apply(input);
  EXPECT_TRUE(actions.ok()) << to_string(input);
  return actions ? *actions : std::vector<ClientAction>{};
}

TEST(ClientMachine, WalksTheLifeOfARequest) {
  ClientMachine machine;
  EXPECT_EQ(must(machine, ClientInput::start), std::vector{ClientAction::send_requests});
  EXPECT_EQ(machine.state(), ClientState::reserving);
  EXPECT_TRUE(must(machine, ClientInput::consumer_answered).empty());
  EXPECT_EQ(machine.state(), ClientState::reserving);
  EXPECT_EQ(must(machine, ClientInput::producer_answered), std::vector{ClientAction::make_map});
  EXPECT_EQ(machine.state(), ClientState::provisioning);
  EXPECT_EQ(must(machine, ClientInput::mapped), std::vector{ClientAction::send_updates});
  EXPECT_EQ(machine.state(), ClientState::updating);
  EXPECT_TRUE(must(machine, ClientInput::producer_updated).empty());
  EXPECT_EQ(must(machine, ClientInput::consumer_updated), std::vector{ClientAction::report_ready});
  EXPECT_EQ(machine.state(), ClientState::idle);
  EXPECT_TRUE(machine.ready());
  EXPECT_EQ(must(machine, ClientInput::release), std::vector{ClientAction::send_releases});
  EXPECT_EQ(machine.state(), ClientState::releasing);
  EXPECT_TRUE(must(machine, ClientInput::producer_released).empty());
  EXPECT_EQ(must(machine, ClientInput::consumer_released), std::vector{ClientAction::report_ended});
  EXPECT_EQ(machine.state(), ClientState::idle);
  EXPECT_TRUE(machine.ended());
}

// Protocol: failure-releases-both
TEST(ClientMachine, AnyErrorReleasesBothEnds) {
  const std::vector<ClientInput> path{ClientInput::start, ClientInput::producer_answered,
                                      ClientInput::consumer_answered, ClientInput::mapped,
                                      ClientInput::producer_updated};
  for (std::size_t steps = 1; steps <= path.size(); ++steps) {
    ClientMachine machine;
    for (std::size_t i = 0; i < steps; ++i) must(machine, path[i]);
    EXPECT_EQ(must(machine, ClientInput::fail), std::vector{ClientAction::send_releases});
    EXPECT_FALSE(machine.apply(ClientInput::fail).ok());
  }
}

TEST(ClientMachine, ADuplicateAnswerIsNoSecondAnswer) {
  ClientMachine machine;
  must(machine, ClientInput::start);
  must(machine, ClientInput::producer_answered);
  EXPECT_FALSE(machine.apply(ClientInput::producer_answered).ok());
  EXPECT_EQ(machine.state(), ClientState::reserving);
}

TEST(ClientMachine, AnyEventsEndIdleAndReleaseWhatWasRequestedOnce) {
  EXPECT_TRUE(rc::check([] {
    ClientMachine machine;
    int requested = 0;
    int released = 0;
    const auto feed = [&](ClientInput input) {
      const auto actions = machine.apply(input);
      if (!actions) return;
      requested += static_cast<int>(
          std::count(actions->begin(), actions->end(), ClientAction::send_requests));
      released += static_cast<int>(
          std::count(actions->begin(), actions->end(), ClientAction::report_ended));
    };
    const auto events = *rc::gen::container<std::vector<std::size_t>>(
        rc::gen::inRange<std::size_t>(0, std::size(all_inputs)));
    for (const std::size_t event : events) feed(all_inputs[event]);
    feed(ClientInput::fail);
    feed(ClientInput::release);
    feed(ClientInput::producer_released);
    feed(ClientInput::consumer_released);
    RC_ASSERT(machine.state() == ClientState::idle);
    RC_ASSERT(requested <= 1);
    RC_ASSERT(released == requested);
  }));
}

}  // namespace
}  // namespace scistream::session
